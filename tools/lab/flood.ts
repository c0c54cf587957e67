/**
 * Connections that nobody means: many a second from many addresses, a third silent, a third with half of a ClientHello, a
 * third with garbage, and none is ended by this side. Arguments: a JSON object { to, from, perSecond }. Ends with its stdin,
 * and says then how many there were.
 */
import { connect } from 'node:net';

const { to, from, perSecond } = JSON.parse(process.argv[2]!) as {
  to: { host: string; port: number };
  from: string[];
  perSecond: number;
};
/** A TLS record of a ClientHello that says it is longer than what comes. */
const HALF = Buffer.from('16030101f0010001ec0303', 'hex');
const GARBAGE = Buffer.alloc(4000, 0x47);
const EVERY_MS = 50;
let [begun, refused] = [0, 0];

setInterval(() => {
  for (let i = 0; i < (perSecond * EVERY_MS) / 1000; i++) {
    const number = begun++;
    const socket = connect({ ...to, localAddress: from[number % from.length]! });
    socket.on('error', () => {
      refused += 1;
    });
    socket.resume();
    if (number % 3 !== 0) socket.once('connect', () => socket.write(number % 3 === 1 ? HALF : GARBAGE));
  }
}, EVERY_MS);
process.stdout.write('ready\n');
process.stdin.resume().on('end', () => {
  process.stdout.write(`${JSON.stringify({ begun, refused })}\n`);
  process.exit(0);
});
