// Everything that a client does with a registry; the compiler holds it against the generated types.
import createClient from "openapi-fetch";
import type { paths } from "./registry.ts";

declare const process: { argv: string[] };

const [url, token] = process.argv.slice(2);
const registry = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });
const instance = { service: "cart", instance: "cart-1" };

const registered = await registry.POST("/register", {
  body: { ...instance, endpoint: "http://127.0.0.1:9000", latitude: 35.68, longitude: 139.69, load: 0.5 },
});
await registry.POST("/services/{service}/instances/{instance}/heartbeat", {
  params: { path: instance },
  body: { load: 0.25 },
});
const closest = await registry.GET("/services/{service}/endpoint", {
  params: { path: { service: "cart" }, query: { latitude: 0, longitude: 0, by: "load" } },
});
await registry.POST("/location/requests", {
  body: [{ service: "cart", latitude: 0, longitude: 0, count: 41 }],
});
const places = await registry.GET("/location/requests", { params: { query: { aggregation: true } } });
await registry.DELETE("/services/{service}/instances/{instance}", { params: { path: instance } });
const gone = await registry.GET("/services/{service}/endpoint", { params: { path: { service: "cart" } } });

console.log(
  JSON.stringify({
    region: registered.data?.region,
    endpoint: closest.data?.endpoint,
    load: closest.data?.load,
    requests: places.data?.services?.["cart"]?.map((place) => place.count),
    status: gone.response.status,
    error: gone.error?.error,
  }),
);
