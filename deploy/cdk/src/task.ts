import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Duration } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as logs from 'aws-cdk-lib/aws-logs';
import { frontPort, stateDir } from './configuration';

// The images that this release was tested with.
const release = '0.0.0';
const images = {
  dispatch: `ghcr.io/lambda-dispatch/lambda-dispatch:${release}`,
  envoy: 'envoyproxy/envoy:v1.40.0',
};

// All containers run as the user of Envoy's image, because they share unix sockets that only their owner may open.
const user = '101:101';

/** @internal */
export interface ContainerOptions {
  readonly image?: ecs.ContainerImage;
  readonly logGroup: logs.ILogGroup;
}

/** @internal */
export interface DispatchOptions extends ContainerOptions {
  readonly name: string;
  readonly command: string[];
  readonly environment: { [name: string]: string };
  readonly secrets: { [name: string]: ecs.Secret };
  readonly port: number;
  /** Asks the process whether it works. */
  readonly healthCommand: string[];
}

/** @internal */
export interface EnvoyOptions extends ContainerOptions {
  /** The bootstrap that the relay writes. Without it Envoy gets the bootstrap for a control plane in the same task. */
  readonly bootstrapFile?: string;
}

/**
 * Adds the container of a control plane or of a relay.
 * @internal
 */
export function addDispatch(task: ecs.FargateTaskDefinition, options: DispatchOptions): ecs.ContainerDefinition {
  const container = task.addContainer(options.name, {
    ...common(options.name, options.logGroup),
    image: options.image ?? ecs.ContainerImage.fromRegistry(images.dispatch),
    command: options.command, environment: options.environment, secrets: options.secrets,
    portMappings: [{ containerPort: options.port }],
    healthCheck: {
      command: options.healthCommand, interval: Duration.seconds(5), timeout: Duration.seconds(5), retries: 3, startPeriod: Duration.seconds(60),
    },
  });
  mount(container);
  return container;
}

/**
 * Adds the container of Envoy. Envoy opens no port before a control plane has told it everything, so the containers may start in any order.
 * They must not end in any order: Envoy must outlive the container that finishes its requests. ECS stops a container before those on
 * which it depends.
 * @internal
 */
export function addEnvoy(task: ecs.FargateTaskDefinition, options: EnvoyOptions): ecs.ContainerDefinition {
  const from = options.bootstrapFile ? ['--config-path', options.bootstrapFile] : ['--config-yaml', bootstrap()];
  const container = task.addContainer('envoy', {
    ...common('envoy', options.logGroup),
    image: options.image ?? ecs.ContainerImage.fromRegistry(images.envoy),
    command: ['envoy', ...from, '--disable-hot-restart', '--file-flush-interval-msec', '1000'],
    portMappings: [{ containerPort: frontPort }],
  });
  mount(container);
  return container;
}

function common(name: string, logGroup: logs.ILogGroup) {
  return {
    user, essential: true, readonlyRootFilesystem: true, stopTimeout: Duration.minutes(2),
    logging: ecs.LogDrivers.awsLogs({ logGroup, streamPrefix: name, mode: ecs.AwsLogDriverMode.NON_BLOCKING }),
    ulimits: [{ name: ecs.UlimitName.NOFILE, softLimit: 65536, hardLimit: 65536 }],
  };
}

// The sockets are on a volume, because Fargate has no tmpfs. It is empty at first, and gets owner and mode of the image's folder.
function mount(container: ecs.ContainerDefinition) {
  container.addMountPoints({ sourceVolume: 'run', containerPath: stateDir, readOnly: false });
}

// bootstrap is envoy/bootstrap.yaml without its comments.
function bootstrap(): string {
  return readFileSync(join(__dirname, 'bootstrap.yaml'), 'utf8').replace(/^ *#.*\n/gm, '');
}
