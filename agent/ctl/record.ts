/** `x0ctl record export`: a recording from the agent into a file. */
import { gunzipSync } from 'node:zlib';
import type { Of } from '../report/shape.ts';
import type * as shapes from '../report/shapes.ts';
import type { Client } from './client.ts';
import { writeNamed } from './file.ts';
import { clean, plainJson, type Terminal } from './terminal.ts';

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
  // It tells who is where and when.
  writeNamed(into, bytes);
  to.out(
    json
      ? `${plainJson({ version: 1, file: into, bytes: bytes.length })}\n`
      : `${clean(into)}: ${bytes.length} bytes\n`,
  );
  return 0;
}
