import java.io.FileOutputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.server.MiniYARNCluster;

/**
 * Hadoop on this machine: HDFS of one DataNode, and YARN of a ResourceManager and two NodeManagers
 * that watch what memory their containers take. java MiniCluster.java DIR writes DIR/conf, for
 * HADOOP_CONF_DIR, says "ready" and runs until its standard input ends.
 */
public class MiniCluster {
  public static void main(String[] args) throws Exception {
    Path dir = Path.of(args[0]).toAbsolutePath();
    Path conf = Files.createDirectories(dir.resolve("conf"));
    System.setProperty("test.build.data", dir.resolve("data").toString());
    System.setProperty("test.build.dir", dir.resolve("target").toString());

    Configuration hdfs = new Configuration();
    hdfs.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, dir.resolve("hdfs").toString());
    hdfs.setInt("dfs.replication", 1);
    MiniDFSCluster dfs = new MiniDFSCluster.Builder(hdfs).numDataNodes(1).build();
    String name = dfs.getFileSystem().getUri().toString();

    YarnConfiguration yarn = new YarnConfiguration(hdfs);
    yarn.set(FileSystem.FS_DEFAULT_NAME_KEY, name);
    yarn.set("yarn.scheduler.capacity.root.queues", "default");
    yarn.set("yarn.scheduler.capacity.root.default.capacity", "100");
    yarn.set("yarn.scheduler.capacity.maximum-am-resource-percent", "0.5");
    yarn.setInt("yarn.scheduler.minimum-allocation-mb", 128);
    yarn.setInt(YarnConfiguration.YARN_MINICLUSTER_NM_PMEM_MB, 3072);
    // A container is ended that takes more memory than it has asked for, which the NodeManager
    // looks at itself, as there are no cgroups. Virtual memory, of which Java takes more than the
    // default allows, isn't limited.
    yarn.setBoolean("yarn.minicluster.control-resource-monitoring", true);
    yarn.setBoolean("yarn.nodemanager.resource.memory.enforced", false);
    yarn.setBoolean("yarn.nodemanager.vmem-check-enabled", false);
    yarn.setInt("yarn.nodemanager.container-monitor.interval-ms", 1000);
    yarn.setFloat("yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", 99.5f);
    MiniYARNCluster cluster = new MiniYARNCluster("mini", 2, 1, 1);
    cluster.init(yarn);
    cluster.start();
    if (!cluster.waitForNodeManagersToConnect(60_000)) {
      throw new IllegalStateException("the NodeManagers don't come");
    }

    Configuration clients = new Configuration(cluster.getConfig());
    clients.unset("net.topology.node.switch.mapping.impl"); // a class of tests
    for (String file : new String[] {"core-site.xml", "hdfs-site.xml", "yarn-site.xml"}) {
      try (OutputStream out = new FileOutputStream(conf.resolve(file).toFile())) {
        clients.writeXml(out);
      }
    }
    System.out.println("ready " + name);
    while (System.in.read() >= 0) {}
    cluster.stop();
    dfs.shutdown();
    System.exit(0);
  }
}
