/* In place of libuci's module: every option is what the environment says of the agent's socket. */
return { cursor: () => ({ get: () => getenv('X0_SOCKET') }) };
