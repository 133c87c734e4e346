// Everything that a client does with a balancer; the compiler holds it against the generated types.
import createClient from "openapi-fetch";
import type { paths } from "./balancer.ts";

declare const process: { argv: string[] };

const [url, token] = process.argv.slice(2);
const balancer = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });
const cart = { service: "cart" };

const added = await balancer.POST("/{service}/servers", {
  params: { path: cart },
  body: [{ server: "127.0.0.1:9000", latitude: 35.68, longitude: 139.69 }, { server: "127.0.0.1:9001" }],
});
await balancer.DELETE("/{service}/servers/{server}", { params: { path: { ...cart, server: "127.0.0.1:9001" } } });
const servers = await balancer.GET("/{service}/servers", { params: { path: cart } });
const all = await balancer.GET("/servers");
const unknown = await balancer.GET("/{service}/servers", { params: { path: { service: "nobody" } } });
const health = await balancer.GET("/healthz");

console.log(
  JSON.stringify({
    added: added.response.status,
    servers: servers.data?.servers?.map((each) => [each.server, each.latitude]),
    services: Object.keys(all.data?.services ?? {}),
    health: health.data?.status,
    status: unknown.response.status,
    error: unknown.error?.error,
  }),
);
