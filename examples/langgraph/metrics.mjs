// The server for one process has no /metrics, as LangGraph's server on PostgreSQL has. This tells the same two figures by the same names.
import { Hono } from 'hono';

export const app = new Hono();

app.get('/metrics', (c) => {
  const runs = Object.values(c.get('LANGGRAPH_OPS').conn.data.runs);
  const count = (status) => runs.filter((run) => run.status === status).length;

  return c.text(
    `# TYPE lg_api_num_pending_runs gauge\nlg_api_num_pending_runs ${count('pending')}\n` +
      `# TYPE lg_api_num_running_runs gauge\nlg_api_num_running_runs ${count('running')}\n`,
  );
});
