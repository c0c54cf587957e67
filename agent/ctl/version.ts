/** Set by the build. */
declare const X0_VERSION: string | undefined;

/** Of this x0ctl. */
export const VERSION = typeof X0_VERSION === 'string' ? X0_VERSION : '0.0.0-source';
