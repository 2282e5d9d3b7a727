// The graph: one node, which asks the model. OPENAI_BASE_URL leads to the worker's monitor, which has the key.
import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import OpenAI from 'openai';

const model = new OpenAI();
const roles = { human: 'user', ai: 'assistant', system: 'system' };

async function answer({ messages }) {
  const { choices } = await model.chat.completions.create({
    model: process.env.OPENAI_MODEL,
    messages: messages.map((m) => ({ role: roles[m.getType()] ?? 'user', content: m.text })),
  });

  return { messages: [{ role: 'assistant', content: choices[0].message.content }] };
}

export const graph = new StateGraph(MessagesAnnotation).addNode('answer', answer).addEdge(START, 'answer').addEdge('answer', END).compile();
