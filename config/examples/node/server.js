// A Node application without dependencies. It listens where TQServer says, and
// ends by SIGTERM when its last request has.
'use strict';
const http = require('node:http');

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  switch (url.pathname) {
    case '/health':
      response.end('well\n');
      break;
    case '/events': {
      // A stream of server-sent events, one a second, until the client leaves.
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      let n = 0;
      const send = () => response.write(`data: ${++n}\n\n`);
      send();
      const timer = setInterval(send, 1000);
      response.on('close', () => clearInterval(timer));
      break;
    }
    case '/echo':
      request.pipe(response);
      break;
    default:
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify({
        pid: process.pid,
        url: request.url,
        client: request.headers['x-forwarded-for'],
        scheme: request.headers['x-forwarded-proto'],
        host: request.headers.host,
        id: request.headers['x-request-id'],
      }) + '\n');
  }
});

if (process.env.SOCKET_PATH) {
  server.listen(process.env.SOCKET_PATH);
} else {
  server.listen(process.env.PORT, process.env.HOST);
}

process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
