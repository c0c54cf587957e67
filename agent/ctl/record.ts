/** `x0ctl record export`: a recording from the agent into a file. */
import { writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { AgentError } from '../core/errors.ts';
import type { Of } from '../report/shape.ts';
import type * as shapes from '../report/shapes.ts';
import type { Client } from './client.ts';
import { clean, clip, plainJson, type Terminal } from './terminal.ts';

const FILE = 'x0tta6bl4-recording.jsonl.gz';

/** Answers the exit status. */
export async function exportRecording(
  agent: Client,
  file: string | undefined,
  id: number | undefined,
  to: Terminal,
  json: boolean,
): Promise<number> {
  const { data } = (await agent.post('/record/export', id === undefined ? {} : { id })) as Of<typeof shapes.recording>;
  const bytes = Buffer.from(data, 'base64');
  if (file === '-') {
    to.out(gunzipSync(bytes).toString('utf8'));
    return 0;
  }
  const into = file ?? FILE;
  try {
    // It tells who is where and when.
    writeFileSync(into, bytes, { mode: 0o600 });
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    throw new AgentError(
      'E_FORBIDDEN',
      `FILE: ${clip(into, 255)} cannot be written: ${code ?? String(thrown)}`,
      {},
      { cause: thrown },
    );
  }
  to.out(
    json
      ? `${plainJson({ version: 1, file: into, bytes: bytes.length })}\n`
      : `${clean(into)}: ${bytes.length} bytes\n`,
  );
  return 0;
}
