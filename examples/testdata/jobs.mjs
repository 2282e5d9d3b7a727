// A client of the queue: `add N` puts so many jobs in, and `counts` tells how many are done and not. Its arguments are the URL of
// Redis, the queue's name, and what to do.
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';

const [url, name, what, n] = process.argv.slice(2);
const connection = new Redis(url, { maxRetriesPerRequest: null });
const queue = new Queue(name, { connection });

if (what === 'add') await queue.addBulk(Array.from({ length: Number(n) }, (_, i) => ({ name: 'job', data: { input: `Review ${i}.` } })));

console.log(JSON.stringify(await queue.getJobCounts('completed', 'failed', 'waiting', 'active')));
await queue.close();
connection.disconnect();
