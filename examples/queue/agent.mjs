// A worker on a queue in Redis (BullMQ). Nothing is kept here: a job is in Redis until it is done, and one whose worker was lost is
// given to another. It tells its load by /metrics, and takes no more jobs once it is told of a drain.
import { Queue, Worker } from 'bullmq';
import express from 'express';
import { Redis } from 'ioredis';
import OpenAI from 'openai';

const name = process.env.QUEUE ?? 'jobs';
const concurrency = Number(process.env.CONCURRENCY ?? 1);
const connection = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null });
const model = new OpenAI();
const queue = new Queue(name, { connection });
const active = new Set();

const worker = new Worker(
  name,
  async (job) => {
    active.add(job.id);

    try {
      const { choices } = await model.chat.completions.create({ model: process.env.OPENAI_MODEL, messages: [{ role: 'user', content: String(job.data.input) }] });

      return choices[0].message.content;
    } finally {
      active.delete(job.id);
    }
  },
  { connection, concurrency, stalledInterval: Number(process.env.STALLED_MS ?? 30000), lockDuration: Number(process.env.STALLED_MS ?? 30000) },
);
worker.on('error', (err) => console.error(err.message));
await worker.waitUntilReady();

const app = express();
app.use(express.json());
app.get('/healthz', (_req, res) => res.json({}));

// All workers see one queue. Each tells its part of what waits, so that what all tell adds up to the queue and not to a multiple of it.
app.get('/metrics', async (_req, res) => {
  const { waiting, prioritized } = await queue.getJobCounts('waiting', 'prioritized');
  const workers = Math.max(1, await queue.getWorkersCount());

  res.type('text/plain').send(
    `# TYPE jobs_waiting_share gauge\njobs_waiting_share ${Math.ceil((waiting + prioritized) / workers)}\n` + `# TYPE jobs_active gauge\njobs_active ${active.size}\n# TYPE jobs_taken gauge\njobs_taken ${worker.isPaused() ? 0 : 1}\n`,
  );
});

// The monitor alone may call this: what came through its inbound proxy or the Service has no business here.
app.post('/drain', async (req, res) => {
  if (!['127.0.0.1', '::ffff:127.0.0.1'].includes(req.socket.remoteAddress)) return res.status(403).end();

  if (req.body.drain) await worker.pause(true);
  else if (worker.isPaused()) worker.resume();

  return res.status(204).end();
});

const server = app.listen(Number(process.env.PORT ?? 9100));
process.once('SIGTERM', async () => {
  await worker.close();
  server.close(() => process.exit(0));
});
