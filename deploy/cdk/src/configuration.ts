import { RelayNetwork } from './props';

/** @internal */
export type Tree = { [key: string]: any };

/** @internal */
export const frontPort = 8080;
/** @internal */
export const relayPort = 7443;
/**
 * Where control planes listen for Envoy and the relay of another task.
 * @internal
 */
export const cellPort = 7444;
/** @internal */
export const relayAdmin = '127.0.0.1:9902';
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
 * The variable with the secret of which certificates are made.
 * @internal
 */
export const secretVar = 'DISPATCH_CELL_SECRET';

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
 * The configuration of one task that holds everything, but for its functions.
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

/**
 * The keys that are added where control planes are apart from Envoy and the relay. They say where the parts are, how they trust each other,
 * and where the lease is. The relay has a fixed name, so that control planes take a new task for the same relay.
 * @internal
 */
export function split(addresses: string[], table: string): Tree {
  return {
    relay: { apart: true, name: 'edge', admin: relayAdmin },
    cell: { address: `0.0.0.0:${cellPort}`, control_planes: addresses, secret_file: `env:${secretVar}` },
    lease: { store: 'dynamodb', table },
  };
}

/**
 * The relay's part of a configuration. It names no function, so a change of a function does not replace the edge.
 * @internal
 */
export function edgeOf(whole: Tree): Tree {
  const own = ['state_dir', 'admin', 'relay', 'cell', 'lease', 'tracing', 'log'];
  return Object.fromEntries(Object.entries(whole).filter(([key]) => own.includes(key)));
}
