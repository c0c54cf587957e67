/**
 * The functions that an engine may round as it likes (ECMA-262, 21.3.2: "implementation-approximated"), from + - * / alone:
 * the same bits everywhere. Within 2 ulps of the true value.
 */

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
const SQRT_HALF = Math.SQRT1_2;

/** Natural logarithm of a finite number above 0; NaN below, -Infinity of 0. */
export function log(x: number): number {
  if (!(x > 0)) return x === 0 ? Number.NEGATIVE_INFINITY : Number.NaN;
  if (x === Number.POSITIVE_INFINITY) return x;
  let exponent = 0;
  let mantissa = x;
  while (mantissa >= 2 * SQRT_HALF) {
    mantissa /= 2;
    exponent += 1;
  }
  while (mantissa < SQRT_HALF) {
    mantissa *= 2;
    exponent -= 1;
  }
  // ln m = 2 artanh s, s = f / (2 + f), with the leading part f kept exact.
  const f = mantissa - 1;
  const s = f / (2 + f);
  const square = s * s;
  let sum = 0;
  for (let n = 25; n >= 3; n -= 2) sum = (sum + 1 / n) * square;
  // 2 artanh s = 2s + 2s·sum, and 2s = f - f·s.
  return exponent * LN2_HIGH + (f - (s * (f - 2 * sum) - exponent * LN2_LOW));
}

/** e to the power of x. */
export function exp(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x > 709.782712893384) return Number.POSITIVE_INFINITY;
  if (x < -745.1332191019412) return 0;
  const n = Math.floor(x / Math.LN2 + 0.5);
  const high = x - n * LN2_HIGH;
  const low = n * LN2_LOW;
  const rest = high - low;
  const tail = high - rest - low;
  let sum = 0;
  for (let i = 14; i >= 2; i--) sum = ((sum + 1) * rest) / i;
  const value = 1 + (rest + (sum * rest + tail));
  return scale(value, n);
}

/** `base` multiplied with itself so often; 1 where that is not even once. */
export function power(base: number, times: number): number {
  let product = 1;
  for (let i = 0; i < times; i++) product *= base;
  return product;
}

/** Decibels of a ratio of powers, and back. */
export function decibels(ratio: number): number {
  return (10 * log(ratio)) / Math.LN10;
}

export function fromDecibels(db: number): number {
  return exp((db * Math.LN10) / 10);
}

function scale(value: number, exponent: number): number {
  let scaled = value;
  let left = exponent;
  for (; left > 0; left--) scaled *= 2;
  for (; left < -1000; left++) scaled /= 2;
  let divisor = 1;
  for (; left < 0; left++) divisor *= 2;
  return scaled / divisor;
}
