import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/** Starts a node without Elasticsearch's own launcher, which refuses root: EsNode HOME setting=value ... */
public final class EsNode {
    public static void main(String[] args) throws Exception {
        Path home = Path.of(args[0]).toAbsolutePath();
        Settings.Builder settings = Settings.builder().put("path.home", home.toString());
        for (int at = 1; at < args.length; at++) {
            String[] setting = args[at].split("=", 2);
            settings.put(setting[0], setting[1]);
        }
        LogConfigurator.registerErrorListener();
        LogConfigurator.configureESLogging();
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
            settings.build(), Map.of(), home.resolve("config"), () -> "test-node");
        LogConfigurator.configureWithoutConfig(environment.settings());
        var modules = PluginsLoader.loadModulesBundles(home.resolve("modules"));
        new Node(environment, PluginsLoader.createPluginsLoader(modules, Set.of(), Map.of())).start();
        Thread.currentThread().join();
    }
}
