import { CfnOutput, Lazy, RemovalPolicy, Stack, Token, TokenComparison, Validations } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { Alarms } from './alarms';
import { Cell } from './cell';
import {
  cellPort, configurationVar, edgeOf, frontPort, healthPath, keyVar, laid, relayAdmin, relayPort, secretVar, small, split, stateDir, Tree,
} from './configuration';
import { Fargate, grace, oneAtATime } from './fargate';
import { entry, Entry } from './front';
import { Front, FunctionProps, LambdaDispatchProps, Layout, RelayNetwork } from './props';
import { SigningKey } from './signing-key';
import { addDispatch, addEnvoy } from './task';

/** Envoy, the relay and the control plane in front of Lambda functions. */
export class LambdaDispatch extends Construct implements ec2.IConnectable {
  /** Who may reach the balancer; with Front.NONE, who may reach Envoy. */
  public readonly connections: ec2.Connections;
  /** The balancer that clients meet; none with Front.NONE. */
  public readonly loadBalancer?: elb.BaseLoadBalancer;
  /** Where clients begin; unknown with Front.NONE. */
  public readonly url?: string;
  /** The task with Envoy and the relay, and in the small layout the control plane. */
  public readonly service: ecs.FargateService;
  /** What that task is made of. */
  public readonly taskDefinition: ecs.FargateTaskDefinition;
  /** That task's security group. */
  public readonly taskSecurityGroup: ec2.SecurityGroup;
  /** The control planes that are apart, each a service of its own; none in the small layout. */
  public readonly controlPlanes: ecs.FargateService[];
  /** What a control plane's task is made of: in the small layout that with Envoy. Its role is what may start functions. */
  public readonly controlPlaneTaskDefinition: ecs.FargateTaskDefinition;
  /** Where all containers write to. */
  public readonly logGroup: logs.ILogGroup;

  private readonly props: LambdaDispatchProps;
  private readonly relayNetwork: RelayNetwork;
  private readonly functions: Tree[] = [];
  private readonly aliases = new Map<lambda.Function, lambda.Alias>();
  private readonly layered = new Set<lambda.Function>();
  private readonly alarms: Alarms;
  private readonly secret: secretsmanager.ISecret;
  private readonly publicKey: string;
  private readonly cell?: Cell;

  constructor(scope: Construct, id: string, props: LambdaDispatchProps) {
    super(scope, id);
    this.props = props;
    this.requireFunction('app', props?.lambdaFunction);
    if (!props.vpc) this.fail('vpc is missing: the network of the tasks and of the balancer');
    [props.settings, props.configuration].forEach((keys) => this.requireKeys(keys));
    this.relayNetwork = props.relayNetwork ?? RelayNetwork.PRIVATE;
    this.alarms = new Alarms(this, props.alarmTopic);
    [this.secret, this.publicKey] = this.key();
    this.logGroup = props.logGroup ?? new logs.LogGroup(this, 'Log', {
      retention: logs.RetentionDays.ONE_MONTH, removalPolicy: RemovalPolicy.DESTROY,
    });
    const fargate = new Fargate(this, props);
    if (props.layout === Layout.SPLIT) this.cell = new Cell(this, props);
    this.taskSecurityGroup = this.group(fargate);
    this.taskDefinition = fargate.task('Task', props.cpu ?? 1024, props.memoryLimitMiB ?? 2048);
    this.controlPlaneTaskDefinition = this.cell ? this.apart(fargate, this.cell) : this.together();
    this.controlPlanes = this.cell?.services ?? [];
    this.service = fargate.service('Service', this.taskDefinition, this.taskSecurityGroup, {
      ...(props.front !== Front.NONE && grace), ...(this.cell && oneAtATime),
    });
    this.service.node.addDependency(...this.controlPlanes);
    const front = this.front();
    this.loadBalancer = front?.loadBalancer;
    this.connections = front?.connections ?? new ec2.Connections({ securityGroups: [this.taskSecurityGroup], defaultPort: ec2.Port.tcp(frontPort) });
    if (front) {
      this.url = `${props.certificate ? 'https' : 'http'}://${front.loadBalancer.loadBalancerDnsName}`;
      new CfnOutput(this, 'Url', { value: this.url, description: 'Where Lambda Dispatch takes requests' });
      this.alarms.addEntry(front);
    }
    this.alarms.addService('Tasks', this.service);
    this.controlPlanes.forEach((service) => this.alarms.addService(service.node.id, service));
    this.add('app', props, [{ path: '/' }]);
  }

  /**
   * Serves another function. `settings.routes` says which requests are its own.
   *
   * @param name how Envoy, metrics and the API call it: lower-case letters, digits and inner hyphens, at most 40
   */
  public addFunction(name: string, props: FunctionProps): void {
    this.requireFunction(name, props.lambdaFunction);
    this.requireKeys(props.settings);
    if (!props.settings?.routes) this.fail(`function ${name}: settings.routes must say which requests are its own`);
    this.add(name, props);
  }

  private add(name: string, props: FunctionProps, routes?: Tree[]) {
    if (!/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/.test(name)) this.fail(`function name ${name}: lower-case letters, digits and inner hyphens, at most 40`);
    if (this.functions.some((f) => f.name === name)) this.fail(`function ${name} is there already`);
    const target = props.lambdaFunction;
    const seconds = target.timeout?.toSeconds() ?? 3;
    if (seconds < 60) this.fail(`function ${name}: its timeout is ${seconds} s; give it a minute at least, 15 minutes are best`);
    this.claim(name, target);
    if (props.peerLayer && !this.layered.has(target)) target.addLayers(props.peerLayer);
    this.layered.add(target);
    this.letIn(name, target);
    const alias = props.alias ?? this.alias(name, target);
    if (alias.lambda instanceof lambda.Function && alias.lambda !== target) this.fail(`function ${name}: alias is one of ${alias.lambda.node.path}`);
    this.grant(target, props.assumeRole);
    if (!this.isAbroad(target)) this.alarms.addFunction(name, alias); // there is no alarm of another region's metrics
    this.functions.push(laid(props.settings ?? {}, {
      name, ...(routes && { routes }),
      lambda: {
        ...(this.isAbroad(target) && { region: Stack.of(target).region }), ...(props.assumeRole && { assume_role: props.assumeRole.roleArn }),
        function_name: target.functionName, qualifier: alias.aliasName, timeout: `${seconds}s`,
        memory_mb: (target.node.defaultChild as lambda.CfnFunction).memorySize ?? 128, architecture: target.architecture.name,
      },
    }));
  }

  // alias makes the alias of a function. A function that is served by two names has one alias.
  private alias(name: string, target: lambda.Function): lambda.Alias {
    if (this.isAbroad(target)) this.fail(`function ${name} is in another region or account: make its alias there, and name it by alias`);
    let alias = this.aliases.get(target);
    if (alias) return alias;
    const there = Stack.of(target).node.findAll().find((c) => c instanceof lambda.Alias && c.lambda === target && c.aliasName === 'live');
    if (there) this.fail(`function ${name}: it has an alias live already, ${there.node.path}: name it by alias`);
    this.aliases.set(target, alias = new lambda.Alias(this, `${name}-live`, { aliasName: 'live', version: target.currentVersion }));
    return alias;
  }

  // claim gives a function the key of those whom it obeys. It can obey one only.
  private claim(name: string, target: lambda.Function) {
    const other = claimed.get(target);
    if (other && other.publicKey !== this.publicKey) {
      this.fail(`function ${name}: it obeys ${other.node.path}: serve it there, by addFunction, or give both the same signingSecret and signingPublicKey`);
    }
    claimed.set(target, this);
    target.addEnvironment('LAMBDA_DISPATCH_PEER_PUBLIC_KEY', this.publicKey);
  }

  private requireFunction(name: string, target?: lambda.Function) {
    if (!target) this.fail(`function ${name}: lambdaFunction is missing`);
    if (typeof target.addEnvironment !== 'function') { // languages without types, and casts
      this.fail(`function ${name}: lambdaFunction must be a function that CDK makes, and no version or alias of it: an imported one cannot be given the public key`);
    }
  }

  // requireKeys refuses keys of a configuration that are written as CDK writes its own.
  private requireKeys(keys: unknown) {
    if (typeof keys !== 'object' || keys === null) return;
    for (const [key, value] of Object.entries(keys)) {
      if (/[A-Z]/.test(key)) this.fail(`key ${key}: settings and configuration have the control plane's keys: ${key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)}`);
      this.requireKeys(value);
    }
  }

  // isAbroad tells whether a function is in another region or account. A region or account that is not known at synthesis is taken for ours.
  private isAbroad(target: lambda.Function): boolean {
    const [here, there] = [Stack.of(this), Stack.of(target)];
    return Token.compareStrings(here.region, there.region) === TokenComparison.DIFFERENT
      || Token.compareStrings(here.account, there.account) === TokenComparison.DIFFERENT;
  }

  // letIn opens the relay's port to the function.
  private letIn(name: string, target: lambda.Function) {
    if (this.relayNetwork !== RelayNetwork.PRIVATE) return; // the port is open to all, and a token is needed to use it
    if (!target.isBoundToVpc) {
      this.fail(`function ${name} is in no VPC and cannot reach the relay: give it vpc, or set relayNetwork to RelayNetwork.PUBLIC`);
    }
    this.taskSecurityGroup.connections.allowFrom(target, ec2.Port.tcp(relayPort), `tunnels of ${name}`);
  }

  // grant lets the control plane start versions of this function and read its alias, and nothing else. With a role it may assume that.
  private grant(target: lambda.Function, role?: iam.IRole) {
    if (role) {
      this.controlPlaneTaskDefinition.addToTaskRolePolicy(new iam.PolicyStatement({ actions: ['sts:AssumeRole'], resources: [role.roleArn] }));
      return;
    }
    this.controlPlaneTaskDefinition.addToTaskRolePolicy(new iam.PolicyStatement({
      actions: ['lambda:InvokeFunction'], resources: [`${target.functionArn}:*`],
    }));
    this.controlPlaneTaskDefinition.addToTaskRolePolicy(new iam.PolicyStatement({ actions: ['lambda:GetAlias'], resources: [target.functionArn] }));
  }

  // key returns the signing key's secret and its public half. Where the function is in another stack the key is made there: this stack
  // depends on that one, and must not be needed by it.
  private key(): [secretsmanager.ISecret, string] {
    const { signingSecret, signingPublicKey, lambdaFunction } = this.props;
    if (!signingSecret !== !signingPublicKey) this.fail('signingSecret and signingPublicKey belong together');
    if (signingSecret && signingPublicKey) return [signingSecret, signingPublicKey];
    if (this.isAbroad(lambdaFunction)) this.fail('lambdaFunction is in another region or account: give signingSecret and signingPublicKey');
    const elsewhere = Stack.of(lambdaFunction) !== Stack.of(this);
    const made = elsewhere ? new SigningKey(lambdaFunction, 'DispatchKey') : new SigningKey(this, 'SigningKey');
    return [made.secret, made.publicKey];
  }

  // front makes the balancer, if there is to be one.
  private front(): Entry | undefined {
    const { front, internetFacing, certificate, accessLogs } = this.props;
    if (front !== Front.NONE) return entry(this, this.props, this.service);
    if (internetFacing || certificate || accessLogs) this.fail('internetFacing, certificate and accessLogs are for a balancer of the construct\'s: front is Front.NONE');
    return undefined;
  }

  // group makes the task's security group. The balancer and the functions are let in later.
  private group(fargate: Fargate): ec2.SecurityGroup {
    const group = fargate.group('TaskGroup', this.cell ? 'Envoy and relay' : 'Envoy, relay and control plane');
    if (this.relayNetwork === RelayNetwork.PUBLIC) group.addIngressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(relayPort), 'tunnels');
    if (this.relayNetwork === RelayNetwork.PUBLIC_IPV6) group.addIngressRule(ec2.Peer.anyIpv6(), ec2.Port.tcp(relayPort), 'tunnels');
    return group;
  }

  // together puts everything into one task.
  private together(): ecs.FargateTaskDefinition {
    const envoy = addEnvoy(this.taskDefinition, { image: this.props.envoyImage, logGroup: this.logGroup });
    const control = this.addControlPlane(this.taskDefinition, relayPort);
    // So that Envoy is stopped last: a container that depends on another is stopped before it.
    control.addContainerDependencies({ container: envoy, condition: ecs.ContainerDependencyCondition.START });
    return this.taskDefinition;
  }

  // edge puts Envoy and the relay into a task. Envoy starts when the relay is healthy, which has written Envoy's bootstrap by then, and is
  // stopped before the relay.
  private edge(cell: Cell) {
    const relay = addDispatch(this.taskDefinition, {
      name: 'relay', image: this.props.relayImage ?? this.props.image, logGroup: this.logGroup, command: ['relay', `env:${configurationVar}`],
      environment: { [configurationVar]: Stack.of(this).toJsonString(edgeOf(this.configuration())) },
      secrets: { [secretVar]: ecs.Secret.fromSecretsManager(cell.secret) },
      port: relayPort, healthCommand: ['CMD', '/lambda-dispatch', 'status', '--admin', relayAdmin],
    });
    const envoy = addEnvoy(this.taskDefinition, {
      image: this.props.envoyImage, logGroup: this.logGroup, bootstrapFile: `${stateDir}/pair/bootstrap.yaml`,
    });
    envoy.addContainerDependencies({ container: relay, condition: ecs.ContainerDependencyCondition.HEALTHY });
    Validations.of(this.taskDefinition).acknowledge(openVariable);
  }

  // apart makes the edge, and two services with a control plane each. Only the edge reaches them.
  private apart(fargate: Fargate, cell: Cell): ecs.FargateTaskDefinition {
    this.edge(cell);
    const task = fargate.task('ControlPlane', this.props.controlPlaneCpu ?? 256, this.props.controlPlaneMemoryLimitMiB ?? 512);
    this.addControlPlane(task, cellPort, { [secretVar]: ecs.Secret.fromSecretsManager(cell.secret) });
    const group = fargate.group('ControlPlaneGroup', 'Control planes');
    group.connections.allowFrom(this.taskSecurityGroup, ec2.Port.tcp(cellPort), 'Envoy and relay to control planes');
    cell.run(fargate, task, group);
    return task;
  }

  private addControlPlane(task: ecs.FargateTaskDefinition, port: number, secrets: { [name: string]: ecs.Secret } = {}): ecs.ContainerDefinition {
    Validations.of(task).acknowledge(openVariable);
    return addDispatch(task, {
      name: 'dispatch', image: this.props.image, logGroup: this.logGroup, command: ['run', `env:${configurationVar}`],
      environment: { [configurationVar]: Lazy.string({ produce: () => Stack.of(this).toJsonString(this.configuration()) }) },
      secrets: { [keyVar]: ecs.Secret.fromSecretsManager(this.secret), ...secrets },
      port, healthCommand: ['CMD', '/lambda-dispatch', 'status'],
    });
  }

  // configuration returns the control plane's configuration.
  private configuration(): Tree {
    const hops = this.props.trustedHops ?? ((this.props.front ?? Front.APPLICATION) === Front.APPLICATION ? 1 : 0);
    let whole: Tree = { ...small(Stack.of(this).region, this.relayNetwork, hops), functions: this.functions };
    if (this.cell) whole = laid(split(this.cell.addresses, this.cell.table.tableName), whole);
    whole = laid(this.props.configuration ?? {}, whole);
    this.requirePorts(whole);
    return whole;
  }

  // requirePorts refuses addresses with other ports than those of containers, security groups and the balancer's check.
  private requirePorts(whole: Tree) {
    const ends = (address: unknown, port: number) => `${address}`.endsWith(`:${port}`);
    if (!ends(whole.relay?.address, relayPort)) this.fail(`configuration: relay.address must have port ${relayPort}`);
    if (this.cell && !ends(whole.cell?.address, cellPort)) this.fail(`configuration: cell.address must have port ${cellPort}`);
    if (![whole.listeners].flat().some((l?: Tree) => ends(l?.address, frontPort) && l?.health_path === healthPath)) {
      this.fail(`configuration: listeners must have one with port ${frontPort} and health_path ${healthPath}, which the balancer asks`);
    }
  }

  private fail(what: string): never {
    throw new Error(`LambdaDispatch ${this.node.path}: ${what}`);
  }
}

const openVariable = { id: 'AwsSolutions-ECS2', reason: 'The variable is the configuration, in which nothing is secret' };

// claimed is who has given a function the key that it obeys.
const claimed = new WeakMap<lambda.Function, LambdaDispatch>();
