/** Checks of Wi-Fi: whether the radios that carry the mesh are on the air, on one channel and in one mesh with others. */
import {
  advice,
  type Check,
  type Facts,
  givesRadios,
  hasOtherKey,
  install,
  problem,
  quoted,
  type Radio,
  waitsForKey,
} from './facts.ts';

/** A mesh point sends a beacon each second, or more often. */
const LATELY_MS = 10_000;

const carriesMesh = ({ type }: Radio): boolean => type === 'mesh' || type === 'ibss';
const isPeer = ({ peerLink }: { readonly peerLink?: string }): boolean =>
  peerLink === undefined || peerLink === 'established';

/** IEEE 802.11, annex E: 2.4, 5 and 6 GHz. */
export function channelOf(mhz: number): number {
  if (mhz === 2484) return 14;
  if (mhz < 2484) return (mhz - 2407) / 5;
  return mhz < 5950 ? (mhz - 5000) / 5 : (mhz - 5950) / 5;
}

function meshIds({ wireless }: Facts): string[] {
  return wireless.map(({ meshId }) => meshId).filter((id) => id !== '');
}

const off: Check = {
  name: 'radio-off',
  looksFor: 'mesh interfaces of a radio that is switched off',
  look: (facts) =>
    facts.wireless
      .filter(({ disabled }) => disabled)
      .map((one) =>
        waitsForKey(one)
          ? problem(
              `the mesh interface ${one.section} of /etc/config/wireless waits for ${facts.config.hasKey ? 'setup: mesh.key has been set since' : 'the key of the mesh'}`,
              'Its password is made from that key; without one there would be an open mesh.',
              ...(facts.config.hasKey
                ? []
                : ['uci set x0tta6bl4.mesh.key=KEY && uci commit x0tta6bl4   # the same on every router']),
              ...givesRadios(facts),
            )
          : problem(
              `the mesh interface ${one.section} of /etc/config/wireless, or its radio, is disabled`,
              'OpenWrt’s radios are off until somebody switches them on.',
              `uci show wireless | grep disabled`,
              `uci set wireless.${quoted(one.section)}.disabled=0   # and of its wifi-device`,
              'uci commit wireless && wifi reload',
            ),
      ),
};

const radioKey: Check = {
  name: 'radio-key',
  looksFor: 'radios whose password was not made from the key of the mesh',
  look: (facts) =>
    facts.wireless
      .filter((one) => !one.disabled && hasOtherKey(facts, one))
      .map((one) =>
        advice(
          `the password of ${one.section} in /etc/config/wireless is not the one that setup makes from mesh.key`,
          'The key was changed and setup not run: radios of routers that were set up with it do not take this one for a peer.',
          ...givesRadios(facts),
        ),
      ),
};

const channel: Check = {
  name: 'channel',
  looksFor: 'routers of this mesh on another channel',
  look: (facts) => {
    const ids = meshIds(facts);
    const radios = facts.radios.filter(carriesMesh);
    if (radios.length > 0 && ids.length === 0) return 'the own mesh id is not in /etc/config/wireless';
    return radios.flatMap(({ interface: name, frequency, heard, stations }) => {
      if (frequency === null || stations.some(isPeer)) return [];
      const elsewhere = heard.filter((one) => ids.includes(one.meshId) && one.frequency !== frequency);
      return elsewhere
        .slice(0, 4)
        .map((one) =>
          problem(
            `${name} is on channel ${channelOf(frequency)}; ${one.bssid} of the same mesh is on ${channelOf(one.frequency)}`,
            'Radios hear each other on one channel only. A channel of "auto" finds another one on each router.',
            `uci set wireless.RADIO.channel=${channelOf(one.frequency)}`,
            'uci commit wireless && wifi reload',
          ),
        );
    });
  },
};

const meshId: Check = {
  name: 'mesh-id',
  looksFor: 'mesh points on our channel with another mesh id',
  look: (facts) => {
    const ids = meshIds(facts);
    const radios = facts.radios.filter(({ type }) => type === 'mesh');
    if (radios.length > 0 && ids.length === 0) return 'the own mesh id is not in /etc/config/wireless';
    return radios.flatMap(({ interface: name, frequency, heard, stations }) => {
      if (stations.some(isPeer)) return [];
      return heard
        .filter((one) => one.frequency === frequency && !ids.includes(one.meshId))
        .slice(0, 4)
        .map((one) =>
          problem(
            `${name} has the mesh id '${ids.join("' or '")}'; ${one.bssid} on its channel has '${one.meshId}'`,
            'Mesh points take each other for peers only where their mesh ids are the same, letter by letter.',
            `uci set wireless.SECTION.mesh_id=${quoted(one.meshId)}   # here, or the other way round there`,
            'uci commit wireless && wifi reload',
          ),
        );
    });
  },
};

const peerLink: Check = {
  name: 'peer-link',
  looksFor: 'mesh points that are heard and no peers',
  look: (facts) => {
    const { radios, supplicantMesh, wireless } = facts;
    const ids = meshIds(facts);
    const isSealed = wireless.some(({ encryption }) => encryption !== '' && encryption !== 'none');
    return radios.filter(carriesMesh).flatMap(({ interface: name, stations, heard, frequency }) =>
      stations
        // The kernel remembers for a while who is gone.
        .filter((one) => !isPeer(one) && (one.inactiveMs ?? 0) < LATELY_MS)
        // Of another channel or mesh: told by that.
        .filter(({ station }) => {
          const seen = heard.find(({ bssid }) => bssid === station);
          return seen === undefined || ids.length === 0 || (ids.includes(seen.meshId) && seen.frequency === frequency);
        })
        .slice(0, 4)
        .map(({ station, peerLink: state }) =>
          problem(
            `${station} is heard on ${name}, and its peer link is '${state}'`,
            isSealed && supplicantMesh !== false
              ? 'With encryption this is a passphrase that is not the same on both, or encryption on one side only.'
              : 'The two do not agree: encryption, rates or the width of the channel differ.',
            'uci show wireless | grep -e mesh_id -e encryption -e htmode -e "\\.key="   # on both',
            `iw dev ${quoted(name)} station get ${station}`,
          ),
        ),
    );
  },
};

const supplicant: Check = {
  name: 'wpad',
  looksFor: 'a supplicant that can encrypt a mesh',
  look: (facts) => {
    const sealed = facts.wireless.filter(({ encryption }) => encryption !== '' && encryption !== 'none');
    if (sealed.length === 0) return [];
    if (facts.supplicantMesh === null) return 'there is no wpa_supplicant to ask';
    if (facts.supplicantMesh) return [];
    return [
      problem(
        `${sealed[0]!.section} asks for encryption '${sealed[0]!.encryption}', and this wpad cannot do it in a mesh`,
        'wpad-basic knows no mesh: the interface does not come up.',
        facts.system.packages === 'apk' ? 'apk del wpad-basic-mbedtls' : 'opkg remove wpad-basic-mbedtls',
        install(facts, 'wpad-mesh-mbedtls'),
        'wifi reload',
      ),
    ];
  },
};

const forwarding: Check = {
  name: 'mesh-fwding',
  looksFor: '802.11s forwarding under batman-adv',
  look: ({ radios }) =>
    radios
      .filter((radio) => radio.type === 'mesh' && radio.forwarding === true)
      .map(({ interface: name }) =>
        problem(
          `${name} forwards by 802.11s as well`,
          'Two routing protocols on top of each other: batman-adv takes ways of several hops for one link.',
          `iw dev ${quoted(name)} set mesh_param mesh_fwding 0`,
          'uci set wireless.SECTION.mesh_fwding=0 && uci commit wireless',
        ),
      ),
};

const discovery: Check = {
  name: 'mesh-nolearn',
  looksFor: '802.11s path discovery under batman-adv',
  look: ({ radios }) =>
    radios
      .filter((radio) => radio.type === 'mesh' && radio.discovers === true)
      .map(({ interface: name }) =>
        advice(
          `${name} asks for a path by 802.11s before it sends to a neighbour`,
          'It drops that path after some 25 lost frames and sends nothing until it has another: the driver then cannot tell of lost frames, which is heard sooner than silence.',
          `iw dev ${quoted(name)} set mesh_param mesh_nolearn 1`,
          'uci set wireless.SECTION.mesh_nolearn=1 && uci commit wireless',
        ),
      ),
};

const country: Check = {
  name: 'country',
  looksFor: 'the country that the radios are set for',
  look: ({ country: set, radios }) => {
    if (!radios.some(carriesMesh) || set === null || set !== '00') return [];
    return [
      advice(
        'no country is set for the radios',
        'Without one, most 5 GHz channels are closed and power is low everywhere.',
        'uci set wireless.RADIO.country=XX && uci commit wireless && wifi reload',
      ),
    ];
  },
};

export const RADIO_CHECKS: readonly Check[] = [
  off,
  radioKey,
  channel,
  meshId,
  peerLink,
  supplicant,
  forwarding,
  discovery,
  country,
];
