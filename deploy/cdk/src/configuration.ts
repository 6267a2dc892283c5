import { RelayNetwork } from './props';

/** @internal */
export type Tree = { [key: string]: any };

/** @internal */
export const frontPort = 8080;
/** @internal */
export const relayPort = 7443;
/** @internal */
export const stateDir = '/run/lambda-dispatch';
/** @internal */
export const healthPath = '/lambda-dispatch/health';
/**
 * The variable with the configuration.
 * @internal
 */
export const configurationVar = 'DISPATCH_CONFIGURATION';
/**
 * The variable with the signing key.
 * @internal
 */
export const keyVar = 'DISPATCH_SIGNING_KEY';

/**
 * Lays one tree over another: blocks are merged, anything else is replaced.
 * @internal
 */
export function laid(over: Tree, under: Tree): Tree {
  const merged = { ...under };
  for (const [key, value] of Object.entries(over)) {
    merged[key] = isTree(value) && isTree(under[key]) ? laid(value, under[key]) : value;
  }
  return merged;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const advertised = { [RelayNetwork.PRIVATE]: 'auto', [RelayNetwork.PUBLIC]: 'public', [RelayNetwork.PUBLIC_IPV6]: 'ipv6' };

/**
 * The configuration but for its functions.
 * @internal
 */
export function small(region: string, relayNetwork: RelayNetwork, hops: number): Tree {
  const everywhere = relayNetwork === RelayNetwork.PUBLIC_IPV6 ? '[::]' : '0.0.0.0';
  return {
    state_dir: stateDir,
    listeners: [{ name: 'front', address: `0.0.0.0:${frontPort}`, health_path: healthPath, trusted_hops: hops }],
    relay: { address: `${everywhere}:${relayPort}`, advertise: advertised[relayNetwork], tls: 'auto' },
    signing: { key_file: `env:${keyVar}` },
    aws: { region },
    log: { format: 'json' },
  };
}
