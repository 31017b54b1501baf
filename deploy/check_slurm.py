#!/usr/bin/env python3
"""Runs predict-slurm.sh as arrays of a real Slurm on this machine.

    check_slurm.py --binary mobilenet --model FILE.pth --photos DIR [--rows 400]

Needs root and Debian's packages slurmctld, slurmd, slurm-client and munge, of which nothing need
run: the daemons of one node of two cores live in a folder of their own, and end with this.
The list is rows of the photos, one of which is missing, in parts of 10. The files of every array
must be those of one mobilenet predict, to the byte and none written twice, or, where Slurm's
numbers say no shares, none, with every task failed. Then things are killed.
"""
import argparse, glob, json, os, re, shutil, signal, socket, subprocess, sys, tempfile, time

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--binary", required=True)
p.add_argument("--model", required=True)
p.add_argument("--photos", required=True)
p.add_argument("--rows", type=int, default=400)
a = p.parse_args()
for program in ["munged", "slurmctld", "slurmd", "sbatch"]:
    if not shutil.which(program) or os.getuid():
        sys.exit(f"{program} is not installed, or this is not root")

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and not without stopping the daemons
script = os.path.dirname(os.path.abspath(__file__)) + "/predict-slurm.sh"
tmp = tempfile.mkdtemp(prefix="slurm")
host = socket.gethostname().split(".")[0]
daemons = []


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


def start(*command):
    log = open(f"{tmp}/{os.path.basename(command[0])}.out", "ab")
    daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
    return daemons[-1]


def wait(what, until):
    for _ in range(1200):
        if until():
            return
        time.sleep(0.5)
    raise SystemExit(f"{what}: nothing after 10 minutes; see {tmp}")


os.mkdir(f"{tmp}/bin")
os.symlink(os.path.abspath(a.binary), f"{tmp}/bin/mobilenet")
os.environ.update(PATH=f"{tmp}/bin:" + os.environ["PATH"], SLURM_CONF=f"{tmp}/slurm.conf")
with open(f"{tmp}/key", "wb") as f:
    os.chmod(f.name, 0o600)
    f.write(os.urandom(128))
# cred_expire is how long a task waits that is queued again, SlurmdTimeout when a node is lost.
with open(f"{tmp}/slurm.conf", "w") as f:
    f.write(f"""ClusterName=check
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={port()}
SlurmdPort={port()}
AuthInfo=socket={tmp}/munge,cred_expire=5
StateSaveLocation={tmp}/state
SlurmdSpoolDir={tmp}/spool
SlurmctldPidFile={tmp}/slurmctld.pid
SlurmdPidFile={tmp}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SlurmdTimeout=15
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2048
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
""")

os.mkdir(f"{tmp}/job")
os.chdir(f"{tmp}/job")
shutil.copy(a.model, "model.pth")
names = sorted(os.path.abspath(n) for n in glob.glob(f"{a.photos}/*.[pj][np]*g"))
with open("list.jsonl", "w") as f:
    for i in range(a.rows):
        f.write(json.dumps({"path": names[i % len(names)] if i != 7 else "gone.png", "row": i}) + "\n")


def parts(folder="results/labels"):
    return {os.path.basename(n): open(n, "rb").read() for n in glob.glob(f"{folder}/part-*")}


def submit(array):
    command = ["sbatch", "--parsable"] + ([f"--array={array}"] if array else []) + [script, "--part-rows", "10"]
    return subprocess.check_output(command, text=True).strip()


def states(job):
    """The states of an array's tasks, by their numbers; one that waits for others has none yet."""
    text = run("scontrol", "show", "job", job, "--oneliner").stdout
    return dict(re.findall(r"ArrayTaskId=(\S+) .*?JobState=(\S+)", text))


def ended(job):
    return all(s not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED") for s in states(job).values())


def logs(job):
    return [open(n).read() for n in glob.glob(f"predict-{job}_*.log")]


def written(job):
    return sum(int(n) for text in logs(job) for n in re.findall(r"(\d+) parts? written", text))


def say(what, job, right):
    global wrong
    tasks = states(job)
    counts = {s: list(tasks.values()).count(s) for s in sorted(set(tasks.values()))}
    shares = sorted(set(re.findall(r"share (\d+/\d+) of the list", " ".join(logs(job)))))
    print(f"{what:34} {'right' if right else 'WRONG':6} parts {len(parts()):3}, written {written(job):3}; {counts}; shares {' '.join(shares) or '-'}", flush=True)
    wrong += not right


def running(job):
    """The processes of an array's tasks that compute."""
    found = []
    for n in glob.glob("/proc/[0-9]*/environ"):
        try:
            if f"SLURM_ARRAY_JOB_ID={job}\0" in open(n).read() and "/mobilenet" in os.readlink(os.path.dirname(n) + "/exe"):
                found.append(int(n.split("/")[2]))
        except OSError:
            pass
    return found


def kill(*pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def slurmd():
    return start(shutil.which("slurmd"), "-D")


wrong = 0
try:
    start(shutil.which("munged"), "--foreground", "--force", f"--socket={tmp}/munge", f"--key-file={tmp}/key", f"--pid-file={tmp}/munge.pid", f"--log-file={tmp}/munge.log", f"--seed-file={tmp}/seed")
    wait("munged", lambda: os.path.exists(f"{tmp}/munge"))
    start(shutil.which("slurmctld"), "-D")
    node = slurmd()
    wait("Slurm", lambda: "idle" in run("sinfo", "--noheader", "--format=%t").stdout)
    print(run("sbatch", "--version").stdout.strip(), "and", run("mobilenet", "--version").stdout.strip())
    plain = ["mobilenet", "predict", "--model", "model.pth", "--from", "list.jsonl", "--output", "plain", "--part-rows", "10"]
    subprocess.run(plain, check=True, stderr=subprocess.DEVNULL)
    want = parts("plain")

    for array in ["", "0-9:2", "1-4", "0-3%2", "5"]:
        shutil.rmtree("results", ignore_errors=True)
        job = submit(array)
        wait(job, lambda: ended(job))
        say(f"--array={array}" if array else "as it stands", job, parts() == want and written(job) == len(want) and set(states(job).values()) == {"COMPLETED"})
    for array in ["1,3,7", "0,1,5,6", "0-4:2,5"]:
        shutil.rmtree("results", ignore_errors=True)
        job = submit(array)
        wait(job, lambda: ended(job))
        say(f"--array={array}", job, not parts() and set(states(job).values()) == {"FAILED"})

    for what in ["scontrol requeue", "the node dies", "kill -9 of mobilenet", "scancel of a task"]:
        shutil.rmtree("results", ignore_errors=True)
        job = submit("0-1")
        wait(job, lambda: len(parts()) >= 2 and running(job))
        task = next(t for t, s in states(job).items() if s == "RUNNING")
        if what == "scontrol requeue":
            subprocess.run(["scontrol", "requeue", f"{job}_{task}"], check=True)
        elif what == "the node dies":
            alive = running(job)
            steps = [int(pid) for pid in run("ps", "-o", "ppid=", *map(str, alive)).stdout.split()]  # slurmstepd, which would tell of its end
            kill(node.pid, *steps, *alive)
            node.wait()
            wait("a lost node", lambda: "down" in run("sinfo", "--noheader", "--format=%t").stdout)
            node = slurmd()
        elif what == "scancel of a task":
            subprocess.run(["scancel", f"{job}_{task}"], check=True)
        else:
            kill(*running(job))
        wait(job, lambda: ended(job))
        again = what in ("scontrol requeue", "the node dies")  # Slurm does it again by itself
        right = parts() == want if again else set(parts().items()) < set(want.items())
        right &= set(states(job).values()) == ({"COMPLETED"} if again else {"COMPLETED", "FAILED" if what.startswith("kill") else "CANCELLED"})
        say(what, job, right)
        if not again:
            job = submit("0-1")
            wait(job, lambda: ended(job))
            say("  and sbatch again", job, parts() == want)
finally:
    for d in reversed(daemons):
        d.terminate()
    for d in daemons:
        try:
            d.wait(20)
        except subprocess.TimeoutExpired:
            d.kill()
print(f"{wrong} wrong; all is in {tmp}")
sys.exit(wrong > 0)
