// A LangGraph server whose threads and runs are files in STATE_DIR. It is LangGraph's own server for one process; what it needs to be
// a worker is here: it tells its load, and writes everything down when it is told to end.
import { startServer } from '@langchain/langgraph-api/server';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

const { cleanup } = await startServer({
  host: '0.0.0.0',
  port: Number(process.env.PORT ?? 8000),
  nWorkers: Number(process.env.N_JOBS_PER_WORKER ?? 1),
  cwd: process.env.STATE_DIR,
  graphs: { agent: `${join(here, 'graph.mjs')}:graph` },
  http: { app: `${join(here, 'metrics.mjs')}:app` },
});

process.once('SIGTERM', async () => {
  await cleanup();
  process.exit(0);
});
