// A shop's cart service as its developers write it: node:http, and pino for its log.
const http = require('node:http');
const log = require('pino')();

http.createServer((request, response) => {
  const item = Number(request.url.split('/').pop());
  if (item % 5 === 0) {
    log.error(`no room for item ${item}`);
    response.statusCode = 500;
  } else {
    log.info(`item ${item} put into the cart`);
  }
  response.end('1');
}).listen(Number(process.argv[2]), '127.0.0.1');
