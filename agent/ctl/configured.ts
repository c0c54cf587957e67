/** This router's configuration, for what works without the agent, or has to find it. */
import { settle } from '../config/load.ts';
import { type Config, DEFAULTS } from '../config/schema.ts';
import { readConfigFile } from '../host/config-file.ts';

/** Defaults where the file cannot be read: it is for `config check` to say why. */
export function configOf(file: string): Config {
  try {
    return settle(readConfigFile(file), file).config;
  } catch {
    return DEFAULTS;
  }
}
