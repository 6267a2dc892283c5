import { Duration } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import { Construct } from 'constructs';
import { LambdaDispatchProps, RelayNetwork } from './props';

/**
 * The cluster and the subnets in which tasks run, and what may go out of them.
 * @internal
 */
export class Fargate {
  /** Where tasks may be. */
  public readonly subnets: ec2.SubnetSelection;
  private readonly cluster: ecs.ICluster;
  /** Whether tasks get a public address. Without one a task in a public subnet does not reach AWS's APIs. */
  private readonly assignPublicIp: boolean;

  constructor(private readonly scope: Construct, private readonly props: LambdaDispatchProps) {
    const outside = (props.relayNetwork ?? RelayNetwork.PRIVATE) !== RelayNetwork.PRIVATE;
    this.subnets = props.taskSubnets ?? { subnetType: outside ? ec2.SubnetType.PUBLIC : ec2.SubnetType.PRIVATE_WITH_EGRESS };
    const { hasPublic, subnets } = this.select();
    this.assignPublicIp = outside || hasPublic;
    const inside = [...props.vpc.privateSubnets, ...props.vpc.isolatedSubnets];
    if (props.relayNetwork === RelayNetwork.PUBLIC && subnets.every((subnet) => inside.includes(subnet))) {
      this.fail('a public relay needs tasks in public subnets, and taskSubnets are private ones');
    }
    this.cluster = props.cluster ?? new ecs.Cluster(scope, 'Cluster', { vpc: props.vpc, containerInsightsV2: ecs.ContainerInsights.ENABLED });
  }

  private select(): ec2.SelectedSubnets {
    try {
      return this.props.vpc.selectSubnets(this.subnets);
    } catch (err) {
      return this.fail(`no subnets for the tasks: ${(err as Error).message} Name some by taskSubnets. Tasks need a way to AWS's APIs and to the `
        + 'registry of their images: a NAT gateway, VPC endpoints, or a public subnet');
    }
  }

  private fail(what: string): never {
    throw new Error(`LambdaDispatch ${this.scope.node.path}: ${what}`);
  }

  /** Makes a group that lets nobody in, and lets out HTTPS alone: calls of AWS's APIs and of the images' registries. */
  public group(id: string, description: string): ec2.SecurityGroup {
    const group = new ec2.SecurityGroup(this.scope, id, { vpc: this.props.vpc, description, allowAllOutbound: false });
    group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'AWS APIs and image registries');
    if (this.props.relayNetwork === RelayNetwork.PUBLIC_IPV6) {
      group.addEgressRule(ec2.Peer.anyIpv6(), ec2.Port.tcp(443), 'AWS APIs and image registries');
    }
    return group;
  }

  public task(id: string, cpu: number, memoryLimitMiB: number): ecs.FargateTaskDefinition {
    return new ecs.FargateTaskDefinition(this.scope, id, {
      cpu, memoryLimitMiB, volumes: [{ name: 'run' }],
      runtimePlatform: {
        cpuArchitecture: this.props.cpuArchitecture ?? ecs.CpuArchitecture.ARM64, operatingSystemFamily: ecs.OperatingSystemFamily.LINUX,
      },
    });
  }

  /** Makes a service of one task. In a deployment the new task starts before the old one stops, unless the options say otherwise. */
  public service(id: string, taskDefinition: ecs.FargateTaskDefinition, group: ec2.ISecurityGroup,
    options: Partial<ecs.FargateServiceProps> = {}): ecs.FargateService {
    return new ecs.FargateService(this.scope, id, {
      cluster: this.cluster, taskDefinition, securityGroups: [group], vpcSubnets: this.subnets, assignPublicIp: this.assignPublicIp,
      desiredCount: 1, minHealthyPercent: 100, maxHealthyPercent: 200, circuitBreaker: { rollback: true }, ...options,
    });
  }
}

/**
 * The options of a service whose task is stopped before another one starts.
 * @internal
 */
export const oneAtATime = { minHealthyPercent: 0, maxHealthyPercent: 100 };

/**
 * How long a task may take to answer the balancer.
 * @internal
 */
export const grace = { healthCheckGracePeriod: Duration.minutes(2) };
