/** The kernels that the lab boots, by the name that --kernel takes. */
import type { Guest, GuestOptions } from './guest.ts';
import { bootQemu, prepareQemu, qemuMissing } from './qemu.ts';
import { bootUml, prepareLab, umlMissing } from './uml.ts';

export type KernelName = 'uml' | 'qemu';

export interface LabKernel {
  /** Why it cannot run here, in one sentence; undefined when it can. */
  missing(): string | undefined;
  prepare(): void;
  boot(options: GuestOptions): Guest;
}

export const KERNELS: Readonly<Record<KernelName, LabKernel>> = {
  uml: { missing: umlMissing, prepare: prepareLab, boot: bootUml },
  qemu: { missing: qemuMissing, prepare: prepareQemu, boot: bootQemu },
};
