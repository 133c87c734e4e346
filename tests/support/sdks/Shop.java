import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.logging.Logger;

/** A shop's stock service as its developers write it: the JDK's HTTP server and its logging. */
public class Shop {
  static final Logger log = Logger.getLogger("stock");

  public static void main(String[] arguments) throws Exception {
    InetSocketAddress address = new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(arguments[0]));
    HttpServer server = HttpServer.create(address, 0);
    server.createContext("/stock", exchange -> {
      String path = exchange.getRequestURI().getPath();
      int item = Integer.parseInt(path.substring(path.lastIndexOf('/') + 1));
      int status = 200;
      if (item % 5 == 0) {
        log.severe("no stock of item " + item);
        status = 500;
      } else {
        log.info("stock of item " + item + " asked");
      }
      exchange.sendResponseHeaders(status, 1);
      exchange.getResponseBody().write('1');
      exchange.close();
    });
    server.start();
  }
}
