// A coding agent with workspaces on its disk: git repositories in STATE_DIR, which it writes and commits to by tools. POST /tasks takes a
// task on, which is on disk before it is accepted; tasks are worked on one by one, and one that was cut off begins anew.
import { Agent, run, setTracingDisabled, tool } from '@openai/agents';
import express from 'express';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, open, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';

setTracingDisabled(true);

const state = process.env.STATE_DIR;
const exec = promisify(execFile);
const git = (dir, ...args) => exec('git', ['-c', 'user.name=agent', '-c', 'user.email=agent@example.org', ...args], { cwd: dir });

await mkdir(join(state, 'tasks'), { recursive: true });
await mkdir(join(state, 'workspaces'), { recursive: true });

const tasks = new Map();
let running = null;
let draining = false;

async function save(task) {
  const file = join(state, 'tasks', `${task.id}.json`);
  const beside = await open(`${file}.new`, 'w');
  await beside.writeFile(JSON.stringify(task));
  await beside.sync();
  await beside.close();
  await rename(`${file}.new`, file);
}

// What is written together is saved together: a save has the agent hold still between two writes, and no longer than it says.
let writing = Promise.resolve();
let release = () => {};
const exclusively = (work) => (writing = writing.catch(() => {}).then(work));

function quiesce({ quiesce: hold, deadline }) {
  release();
  if (!hold) return Promise.resolve();

  return new Promise((still) => {
    exclusively(
      () =>
        new Promise((resolve) => {
          const timer = setTimeout(resolve, Math.min(300_000, new Date(deadline) - Date.now()));
          release = () => {
            clearTimeout(timer);
            resolve();
          };
          still();
        }),
    );
  });
}

// workspace returns a repository, which is made where there is none.
async function workspace(name) {
  const dir = join(state, 'workspaces', name);
  await mkdir(dir, { recursive: true });
  await git(dir, 'init', '-q');

  return dir;
}

async function work(task) {
  const dir = await exclusively(() => workspace(task.workspace));
  const note = tool({
    name: 'note',
    description: 'Write a line to NOTES.md and commit it.',
    parameters: z.object({ said: z.string() }),
    execute: ({ said }) =>
      exclusively(async () => {
        await appendFile(join(dir, 'NOTES.md'), `${said}\n`);
        await git(dir, 'add', '-A');
        await git(dir, 'commit', '-q', '-m', `Task ${task.id}`);

        return 'committed';
      }),
  });
  const agent = new Agent({ name: 'coder', model: process.env.OPENAI_MODEL, instructions: process.env.AGENT_INSTRUCTIONS ?? 'You write code.', tools: [note] });
  const { finalOutput } = await run(agent, task.input);
  task.state = 'done';
  task.output = finalOutput;
}

async function next() {
  if (running || draining) return;

  running = [...tasks.values()].find((task) => task.state === 'waiting') ?? null;
  if (!running) return;

  const task = running;

  try {
    await work(task);
  } catch (err) {
    task.state = 'failed';
    task.output = err.message;
  }

  await exclusively(() => save(task));
  running = null;
  next();
}

const app = express();
app.use(express.json());
app.get('/healthz', (_req, res) => res.json({}));
app.get('/load', (_req, res) => res.json({ unfinished: [...tasks.values()].filter((task) => task.state === 'waiting').length, running: running ? 1 : 0 }));
app.get('/tasks/:id', (req, res) => (tasks.has(req.params.id) ? res.json(tasks.get(req.params.id)) : res.status(404).end()));
app.post('/tasks', async (req, res) => {
  const { workspace: name, input } = req.body;
  if (!/^[\w-]{1,64}$/.test(name) || typeof input !== 'string') return res.status(400).json({ error: 'a task has a workspace, named by letters, digits and dashes, and an input' });

  const task = { id: randomUUID(), workspace: name, input, state: 'waiting' };
  await exclusively(() => save(task));
  tasks.set(task.id, task);
  next();

  return res.status(202).json(task);
});

// The monitor alone may call these. Its inbound proxy, which is on loopback too, tells for whom it asks.
const hooks = express.Router();
hooks.use((req, res, pass) => (['127.0.0.1', '::ffff:127.0.0.1'].includes(req.socket.remoteAddress) && !req.get('X-Forwarded-For') ? pass() : res.status(403).end()));
hooks.post('/quiesce', async (req, res) => {
  await quiesce(req.body);
  res.status(204).end();
});
hooks.post('/drain', (req, res) => {
  draining = req.body.drain;
  next();
  res.status(204).end();
});
app.use('/hooks', hooks);

for (const file of await readdir(join(state, 'tasks'))) {
  if (!file.endsWith('.json')) continue;
  const task = JSON.parse(await readFile(join(state, 'tasks', file), 'utf8'));
  tasks.set(task.id, task);
}

next();

const server = app.listen(Number(process.env.PORT ?? 8080));
process.once('SIGTERM', () => server.close(() => process.exit(0)));
