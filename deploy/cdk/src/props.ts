import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';

/** What stands before Envoy. */
export enum Front {
  /** An application load balancer: HTTP and HTTPS. */
  APPLICATION = 'application',
  /** A network load balancer: TCP, or TLS with a certificate. Envoy sees clients' addresses. */
  NETWORK = 'network',
  /** Nothing of the construct's: the service is made a target of a balancer that is there already. */
  NONE = 'none',
}

/** Which parts share a task. */
export enum Layout {
  /** Envoy, the relay and the control plane are in one task. */
  SMALL = 'small',
  /**
   * Envoy and the relay are in one task, the edge. Two control planes, of which one leads, are in tasks of their own. Clients do not
   * notice when one is deployed, crashes or loses its zone. A change of the edge's own image, size or keys replaces the edge, and clients
   * get errors for about a minute then.
   */
  SPLIT = 'split',
}

/** How functions reach the relays. */
export enum RelayNetwork {
  /** Inside the VPC: the functions must be in it, or in one that is routed to it. */
  PRIVATE = 'private',
  /** By the tasks' public IPv4 addresses, with TLS: for functions outside of any VPC. Nobody gets anything there without a token. */
  PUBLIC = 'public',
  /** By the tasks' IPv6 addresses, with TLS: for functions in dual-stack subnets. The tasks' subnets must be dual-stack as well. */
  PUBLIC_IPV6 = 'public-ipv6',
}

/** A function's part. */
export interface FunctionProps {
  /** Its timeout must be a minute at least; 15 minutes are best. */
  readonly lambdaFunction: lambda.Function;
  /**
   * The alias that is invoked. A function of another region or account needs one that was made there, and `signingSecret` with
   * `signingPublicKey`.
   * @default - a new alias `live` of the function's current version
   */
  readonly alias?: lambda.Alias;
  /**
   * A role in the function's account which may start it, and which the control plane assumes. It needs `lambda:InvokeFunction` for the
   * function's versions and `lambda:GetAlias`, and trusts the control plane's role.
   * @default - the control plane's own role starts the function
   */
  readonly assumeRole?: iam.IRole;
  /**
   * The layer with lambdapeer, for functions that are no images.
   * @default - the function's code or image has lambdapeer in it
   */
  readonly peerLayer?: lambda.ILayerVersion;
  /**
   * Keys of the function's element in the control plane's configuration: `{ scaling: { max: 50 } }`. They win over the construct's.
   * @default - every request goes to the function; the rest are the control plane's defaults
   */
  readonly settings?: { [key: string]: any };
}

/** Properties of LambdaDispatch. */
export interface LambdaDispatchProps extends FunctionProps {
  /** The network of the tasks and of the balancer. */
  readonly vpc: ec2.IVpc;
  /** @default Layout.SMALL */
  readonly layout?: Layout;
  /** @default Front.APPLICATION */
  readonly front?: Front;
  /**
   * How many proxies before Envoy may be believed about `X-Forwarded-For`.
   * @default - 1 with an application load balancer, which is one, and 0 otherwise
   */
  readonly trustedHops?: number;
  /**
   * Whether the internet reaches the balancer. Otherwise only addresses of the VPC do.
   * @default false
   */
  readonly internetFacing?: boolean;
  /**
   * The balancer's certificate. With it clients speak TLS to the balancer, on port 443.
   * @default - plain HTTP on port 80
   */
  readonly certificate?: acm.ICertificate;
  /**
   * The bucket for the balancer's access logs.
   * @default - nowhere
   */
  readonly accessLogs?: s3.IBucket;
  /** @default RelayNetwork.PRIVATE */
  readonly relayNetwork?: RelayNetwork;
  /**
   * The control plane's and the relay's image.
   * @default - this release's
   */
  readonly image?: ecs.ContainerImage;
  /**
   * The relay's image in the split layout. With it the edge can stay on the release before while the control planes are replaced.
   * @default - that of the control planes
   */
  readonly relayImage?: ecs.ContainerImage;
  /**
   * Envoy's image.
   * @default - the release of Envoy that this release is tested with
   */
  readonly envoyImage?: ecs.ContainerImage;
  /** @default - a cluster of its own */
  readonly cluster?: ecs.ICluster;
  /**
   * CPU units of a task with Envoy, 1024 for each core.
   * @default 1024
   */
  readonly cpu?: number;
  /** @default 2048 */
  readonly memoryLimitMiB?: number;
  /**
   * CPU units of a control plane's task in the split layout.
   * @default 256
   */
  readonly controlPlaneCpu?: number;
  /** @default 512 */
  readonly controlPlaneMemoryLimitMiB?: number;
  /** Must fit the images. @default - ARM64 */
  readonly cpuArchitecture?: ecs.CpuArchitecture;
  /**
   * The subnets of the tasks.
   * @default - private subnets with a way out; public ones where the relay is public
   */
  readonly taskSubnets?: ec2.SubnetSelection;
  /**
   * Keys of the control plane's configuration. They win over those that the construct sets.
   * @default - what the construct makes of it
   */
  readonly configuration?: { [key: string]: any };
  /**
   * A secret with an Ed25519 private key as PEM, and with it `signingPublicKey`.
   * @default - a key that is made when the stack is deployed
   */
  readonly signingSecret?: secretsmanager.ISecret;
  /** The public half of `signingSecret`. */
  readonly signingPublicKey?: string;
  /** @default - a group that keeps a month */
  readonly logGroup?: logs.ILogGroup;
  /**
   * The topic that the alarms are sent to.
   * @default - nobody
   */
  readonly alarmTopic?: sns.ITopic;
}
