/** The table of calls as OpenAPI 3.1, and as one HTML page that needs nothing from elsewhere. */
import type { Call } from './api/call.ts';
import type { Schema } from './shape.ts';
import { type COMMANDS, error } from './shapes.ts';

type Commands = typeof COMMANDS;

/** Served where it runs, so there is nothing to fill in but what the agent knows of itself. */
export function openapi(calls: readonly Call[], commands: Commands, version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const call of calls) {
    const parameters: unknown[] = (call.query ?? []).map(({ name, type, help }) => ({
      name,
      in: 'query',
      required: false,
      description: help,
      schema: { type },
    }));
    if (call.path.includes('{id}'))
      parameters.push({ name: 'id', in: 'path', required: true, schema: { type: 'string' } });
    const content =
      call.shape === null
        ? { [call.type!]: { schema: { type: 'string' } } }
        : { 'application/json': { schema: call.shape.schema } };
    paths[call.path] ??= {};
    paths[call.path]![call.method.toLowerCase()] = {
      operationId: operationId(call),
      summary: call.help,
      ...(call.method === 'POST' && { description: SOCKET_ONLY }),
      ...(parameters.length > 0 && { parameters }),
      ...(call.body !== undefined && {
        requestBody: {
          content: {
            'application/json': {
              schema: {
                type: 'object',
                properties: Object.fromEntries(
                  call.body.map(({ name, type, help }) => [name, { type, description: help }]),
                ),
              },
            },
          },
        },
      }),
      responses: {
        200: { description: 'the answer', content },
        ...Object.fromEntries(
          Object.entries(call.also ?? {}).map(([status, description]) => [status, { description, content }]),
        ),
        default: { description: 'an error', content: { 'application/json': { schema: error.schema } } },
      },
    };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'x0tta6bl4', version, description: 'What this router knows of its mesh and of its healing.' },
    paths,
    components: {
      schemas: Object.fromEntries(
        commands.map(({ command, help, shape }) => [nameOf(command), { description: help, ...shape.schema }]),
      ),
    },
  };
}

const SOCKET_ONLY = 'Only over the control socket.';

/** 'x0ctl watch --json' as the name of a schema: x0ctl.watch */
function nameOf(command: string): string {
  return command.replace(' --json', '').replaceAll(' ', '.');
}

function operationId({ method, path }: Call): string {
  const words = path.split('/').flatMap((part) => part.match(/[a-z]+/g) ?? []);
  return [method.toLowerCase(), ...words]
    .map((word, i) => (i === 0 ? word : word[0]!.toUpperCase() + word.slice(1)))
    .join('');
}

export function docsPage(calls: readonly Call[], commands: Commands, version: string): string {
  const sections = calls.map((call) => {
    const parameters = [...(call.query ?? []), ...(call.body ?? [])];
    const list = parameters.map(({ name, help }) => `<li><code>${html(name)}</code>: ${html(help)}</li>`).join('');
    const isPage = call.shape === null;
    const also = Object.entries(call.also ?? {}).map(([status, what]) => ` Status ${status}: ${html(what)}.`);
    return `<section><h2><code>${call.method} ${html(call.path)}</code></h2><p>${html(call.help)}${also.join('')}${
      call.method === 'POST' ? ` ${SOCKET_ONLY}` : ''
    }</p>${list && `<ul>${list}</ul>`}${
      isPage ? '' : `<details><summary>Answer</summary><ul>${members(call.shape!.schema)}</ul></details>`
    }</section>`;
  });
  for (const { command, help, shape } of commands) {
    const shown = members(shape.schema.anyOf?.[0] ?? shape.schema);
    sections.push(
      `<section><h2><code>${html(command)}</code></h2><p>${html(help)}</p><details><summary>Answer</summary><ul>${shown}</ul></details></section>`,
    );
  }
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>x0tta6bl4 API</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }
h2 { font-size: 1.1rem; margin: 1.5rem 0 0 } code { font-family: ui-monospace, monospace }
small { opacity: .7 } p, ul { margin: .25rem 0 }
</style></head><body>
<h1>x0tta6bl4 API</h1>
<p>Version ${html(version)}. Every answer is JSON with <code>"version": 1</code>; an error is
<code>{"version": 1, "error": {"code", "message"}}</code>. For programs: <a href="/openapi.json">/openapi.json</a>.</p>
${sections.join('\n')}
</body></html>
`;
}

function members(schema: Schema): string {
  const inner = schema.items ?? schema;
  if (inner.properties === undefined) return '';
  return Object.entries(inner.properties)
    .map(([name, member]) => {
      const type = [member.type ?? 'value'].flat().join(' or ');
      const choices = member.enum === undefined ? '' : `: ${member.enum.map(String).join(', ')}`;
      const below = members(member);
      return `<li><code>${html(name)}</code> <small>${html(type + choices)}</small> ${html(
        member.description ?? '',
      )}${below && `<ul>${below}</ul>`}</li>`;
    })
    .join('');
}

function html(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
