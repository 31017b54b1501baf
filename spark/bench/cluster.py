"""A standalone cluster of Apache Spark on this machine: a master, two workers of a core, and
a Spark Connect server. Needs Java 17, and pyspark beside this interpreter."""
import os, signal, socket, subprocess, sys, time
import pyspark

home = os.path.dirname(pyspark.__file__)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and not without stopping the cluster
os.environ.update(SPARK_HOME=home, SPARK_LOCAL_IP="127.0.0.1")


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait(at):
    while True:
        try:
            return socket.create_connection(("127.0.0.1", at)).close()
        except OSError:
            time.sleep(0.2)


def children(pid):
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    return [c for child in map(int, out) for c in [child] + children(child)]


def kill(process):
    """kill -9 of a daemon and what it started."""
    for pid in [process.pid] + children(process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


class Cluster:
    """Logs and the workers' folders are in tmp."""

    def __init__(self, tmp, *conf):
        self.tmp, self.conf, self.port = tmp, conf, port()
        self.master = self.start("master", "spark-class", "org.apache.spark.deploy.master.Master", "-h", "127.0.0.1", "-p", str(self.port), "--webui-port", "0")
        wait(self.port)
        self.workers = [self.worker(0), self.worker(1)]
        self.drive()

    def start(self, name, program, *args):
        log = open(f"{self.tmp}/{name}.log", "ab")
        return subprocess.Popen([f"{home}/bin/{program}", *args], stdout=log, stderr=log, start_new_session=True)

    def worker(self, i):
        return self.start(f"worker{i}", "spark-class", "org.apache.spark.deploy.worker.Worker", "-h", "127.0.0.1", "-c", "1", "-m", "1g",
                          "-d", f"{self.tmp}/work{i}", "--webui-port", "0", f"spark://127.0.0.1:{self.port}")

    def drive(self):
        """Starts a driver, whose address is remote."""
        at = port()
        conf = ["spark.executor.memory=512m", "spark.driver.host=127.0.0.1", "spark.ui.enabled=false", "spark.connect.grpc.binding.address=127.0.0.1",
                f"spark.connect.grpc.binding.port={at}", *self.conf]
        self.driver = self.start("driver", "spark-submit", "--class", "org.apache.spark.sql.connect.service.SparkConnectServer",
                                 "--master", f"spark://127.0.0.1:{self.port}", *[x for c in conf for x in ("--conf", c)], "spark-internal")
        wait(at)
        self.remote = f"sc://127.0.0.1:{at}"

    def stop(self):
        for process in self.workers + [self.driver, self.master]:
            kill(process)
