import { CfnOutput, Duration, Lazy, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { Alarms } from './alarms';
import { configurationVar, keyVar, laid, relayPort, small, Tree } from './configuration';
import { entry } from './front';
import { Front, FunctionProps, LambdaDispatchProps, RelayNetwork } from './props';
import { SigningKey } from './signing-key';
import { addDispatch, addEnvoy } from './task';

/** Envoy, the relay and the control plane in front of Lambda functions. */
export class LambdaDispatch extends Construct implements ec2.IConnectable {
  /** Who may reach the balancer. */
  public readonly connections: ec2.Connections;
  /** The balancer that clients meet. */
  public readonly loadBalancer: elb.BaseLoadBalancer;
  /** Where clients begin. */
  public readonly url: string;
  /** The tasks with Envoy. */
  public readonly service: ecs.FargateService;
  /** What a task is made of. */
  public readonly taskDefinition: ecs.FargateTaskDefinition;
  /** The tasks' security group: relays and Envoys. */
  public readonly taskSecurityGroup: ec2.SecurityGroup;
  /** Where all containers write to. */
  public readonly logGroup: logs.ILogGroup;

  private readonly props: LambdaDispatchProps;
  private readonly relayNetwork: RelayNetwork;
  private readonly functions: Tree[] = [];
  private readonly alarms: Alarms;
  private readonly secret: secretsmanager.ISecret;
  private readonly publicKey: string;

  constructor(scope: Construct, id: string, props: LambdaDispatchProps) {
    super(scope, id);
    this.props = props;
    this.relayNetwork = props.relayNetwork ?? RelayNetwork.PRIVATE;
    this.alarms = new Alarms(this, props.alarmTopic);
    [this.secret, this.publicKey] = this.key();
    this.logGroup = props.logGroup ?? new logs.LogGroup(this, 'Log', {
      retention: logs.RetentionDays.ONE_MONTH, removalPolicy: RemovalPolicy.DESTROY,
    });
    this.taskSecurityGroup = this.group();
    this.taskDefinition = this.task();
    this.service = this.tasks();
    const front = entry(this, props, this.service);
    this.loadBalancer = front.loadBalancer;
    this.connections = front.connections;
    this.url = `${props.certificate ? 'https' : 'http'}://${front.loadBalancer.loadBalancerDnsName}`;
    new CfnOutput(this, 'Url', { value: this.url, description: 'Where Lambda Dispatch takes requests' });
    this.alarms.addEntry(front);
    this.alarms.addService('Tasks', this.service);
    this.add('app', props, [{ path: '/' }]);
  }

  /**
   * Serves another function. `settings.routes` says which requests are its own.
   *
   * @param name how Envoy, metrics and the API call it: lower-case letters, digits and inner hyphens, at most 40
   */
  public addFunction(name: string, props: FunctionProps): void {
    if (!props.settings?.routes) this.fail(`function ${name}: settings.routes must say which requests are its own`);
    this.add(name, props);
  }

  private add(name: string, props: FunctionProps, routes?: Tree[]) {
    if (!/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/.test(name)) this.fail(`function name ${name}: lower-case letters, digits and inner hyphens, at most 40`);
    if (this.functions.some((f) => f.name === name)) this.fail(`function ${name} is there already`);
    const target = props.lambdaFunction;
    const seconds = target.timeout?.toSeconds() ?? 3;
    if (seconds < 60) this.fail(`function ${name}: its timeout is ${seconds} s; give it a minute at least, 15 minutes are best`);
    target.addEnvironment('LAMBDA_DISPATCH_PEER_PUBLIC_KEY', this.publicKey);
    if (props.peerLayer) target.addLayers(props.peerLayer);
    this.letIn(name, target);
    const alias = props.alias ?? new lambda.Alias(this, `${name}-live`, { aliasName: 'live', version: target.currentVersion });
    this.grant(target);
    this.alarms.addFunction(name, alias);
    this.functions.push(laid(props.settings ?? {}, {
      name, ...(routes && { routes }),
      lambda: {
        function_name: target.functionName, qualifier: alias.aliasName, timeout: `${seconds}s`,
        memory_mb: (target.node.defaultChild as lambda.CfnFunction).memorySize ?? 128, architecture: target.architecture.name,
      },
    }));
  }

  // letIn opens the relay's port to the function.
  private letIn(name: string, target: lambda.Function) {
    if (this.relayNetwork !== RelayNetwork.PRIVATE) return; // open to all: its guard is the token
    if (!target.isBoundToVpc) {
      this.fail(`function ${name} is in no VPC and cannot reach the relay: give it vpc, or set relayNetwork to RelayNetwork.PUBLIC`);
    }
    this.taskSecurityGroup.connections.allowFrom(target, ec2.Port.tcp(relayPort), `tunnels of ${name}`);
  }

  // grant is all that the control plane may do: start versions of this function, and see what its alias leads to.
  private grant(target: lambda.Function) {
    this.taskDefinition.addToTaskRolePolicy(new iam.PolicyStatement({
      actions: ['lambda:InvokeFunction'], resources: [`${target.functionArn}:*`],
    }));
    this.taskDefinition.addToTaskRolePolicy(new iam.PolicyStatement({ actions: ['lambda:GetAlias'], resources: [target.functionArn] }));
  }

  // key returns the signing key's secret and its public half. Where the function is in another stack the key is made there: this stack
  // depends on that one, and must not be needed by it.
  private key(): [secretsmanager.ISecret, string] {
    const { signingSecret, signingPublicKey, lambdaFunction } = this.props;
    if (!signingSecret !== !signingPublicKey) this.fail('signingSecret and signingPublicKey belong together');
    if (signingSecret && signingPublicKey) return [signingSecret, signingPublicKey];
    const elsewhere = Stack.of(lambdaFunction) !== Stack.of(this);
    const made = elsewhere ? new SigningKey(lambdaFunction, 'DispatchKey') : new SigningKey(this, 'SigningKey');
    return [made.secret, made.publicKey];
  }

  // group lets in who is named later: the balancer and the functions. Out go calls of AWS's APIs, the images' registries among them.
  private group(): ec2.SecurityGroup {
    const group = new ec2.SecurityGroup(this, 'TaskGroup', {
      vpc: this.props.vpc, description: 'Envoy, relay and control plane', allowAllOutbound: false,
    });
    group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'AWS APIs and image registries');
    if (this.relayNetwork === RelayNetwork.PUBLIC) group.addIngressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(relayPort), 'tunnels');
    if (this.relayNetwork === RelayNetwork.PUBLIC_IPV6) {
      group.addEgressRule(ec2.Peer.anyIpv6(), ec2.Port.tcp(443), 'AWS APIs and image registries');
      group.addIngressRule(ec2.Peer.anyIpv6(), ec2.Port.tcp(relayPort), 'tunnels');
    }
    return group;
  }

  private task(): ecs.FargateTaskDefinition {
    const task = new ecs.FargateTaskDefinition(this, 'Task', {
      cpu: this.props.cpu ?? 1024, memoryLimitMiB: this.props.memoryLimitMiB ?? 2048,
      runtimePlatform: {
        cpuArchitecture: this.props.cpuArchitecture ?? ecs.CpuArchitecture.ARM64, operatingSystemFamily: ecs.OperatingSystemFamily.LINUX,
      },
      volumes: [{ name: 'run' }],
    });
    const envoy = addEnvoy(task, { image: this.props.envoyImage, logGroup: this.logGroup });
    const control = addDispatch(task, {
      name: 'dispatch', image: this.props.image, logGroup: this.logGroup, command: ['run', `env:${configurationVar}`],
      environment: { [configurationVar]: Lazy.string({ produce: () => this.configuration() }) },
      secrets: { [keyVar]: ecs.Secret.fromSecretsManager(this.secret) },
      healthCommand: ['CMD', '/lambda-dispatch', 'status'],
    });
    control.addContainerDependencies({ container: envoy, condition: ecs.ContainerDependencyCondition.START });
    Validations.of(task).acknowledge({ id: 'AwsSolutions-ECS2', reason: 'The variable is the configuration, in which nothing is secret' });
    return task;
  }

  private tasks(): ecs.FargateService {
    const outside = this.relayNetwork !== RelayNetwork.PRIVATE;
    return new ecs.FargateService(this, 'Service', {
      cluster: this.props.cluster ?? new ecs.Cluster(this, 'Cluster', { vpc: this.props.vpc, containerInsightsV2: ecs.ContainerInsights.ENABLED }),
      taskDefinition: this.taskDefinition, securityGroups: [this.taskSecurityGroup], desiredCount: 1,
      minHealthyPercent: 100, maxHealthyPercent: 200, circuitBreaker: { rollback: true }, healthCheckGracePeriod: Duration.minutes(1),
      assignPublicIp: outside,
      vpcSubnets: this.props.taskSubnets ?? { subnetType: outside ? ec2.SubnetType.PUBLIC : ec2.SubnetType.PRIVATE_WITH_EGRESS },
    });
  }

  // configuration is what the control plane reads: JSON, which is YAML as well.
  private configuration(): string {
    const hops = this.props.front === Front.NETWORK ? 0 : 1;
    const whole = { ...small(Stack.of(this).region, this.relayNetwork, hops), functions: this.functions };
    return Stack.of(this).toJsonString(laid(this.props.configuration ?? {}, whole));
  }

  private fail(what: string): never {
    throw new Error(`LambdaDispatch ${this.node.path}: ${what}`);
  }
}
