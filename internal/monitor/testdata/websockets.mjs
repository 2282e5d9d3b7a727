// A model server's WebSocket API and a client of it, by the library that agents use. Its arguments are the directory of the libraries and
// `serve`, which prints its port, or `talk` and a base URL, which prints what was said.
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, what, base] = process.argv.slice(2);
const { WebSocket, WebSocketServer } = createRequire(pathToFileURL(modules + '/'))('ws');
const digest = (b) => createHash('sha256').update(b).digest('hex');

const serve = () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: { threshold: 0 }, maxPayload: 8 << 20, path: '/v1/realtime' });
  server.on('listening', () => console.log(server.address().port));
  server.on('connection', (socket, request) => {
    socket.send(JSON.stringify({ type: 'session.created', compressed: socket.extensions, asked: request.headers['openai-beta'] }));
    socket.on('ping', (data) => socket.send('pinged with ' + data));
    socket.on('message', (data, binary) => {
      if (data.toString() === 'end') return socket.close(4001, 'the session is over');
      socket.send(binary ? data : JSON.stringify({ type: 'heard', bytes: data.length, digest: digest(data) }), { binary });
    });
  });
};

const talk = async (perMessageDeflate) => {
  const socket = new WebSocket(base + '/v1/realtime?model=gpt-4', { perMessageDeflate, headers: { 'OpenAI-Beta': 'realtime=v1' }, maxPayload: 8 << 20 });
  const heard = [];
  let wake;
  socket.on('message', (data, binary) => { heard.push(binary ? 'binary ' + data.length + ' ' + digest(data) : data.toString()); wake?.(); });
  const closed = new Promise((resolve, reject) => { socket.on('close', (code, why) => resolve(code + ' ' + why)); socket.on('error', reject); });
  const next = async () => {
    while (heard.length === 0) await new Promise((r) => { wake = r; });
    console.log(heard.shift());
  };
  await next();
  for (const message of ['hello', 'long '.repeat(600_000), Buffer.alloc(1 << 20, 'binary')]) {
    socket.send(message);
    await next();
  }
  socket.ping('a word');
  await next();
  socket.send('end');
  console.log(await closed);
};

if (what === 'serve') serve();
else for (const deflate of [false, { threshold: 0 }]) await talk(deflate);
