import assert from 'node:assert/strict';
import test from 'node:test';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import { Front, LambdaDispatch, RelayNetwork } from '../src';
import { aFunction, configuration, grants, Made, make, plain, ports, resources, short } from './stack';

test('three properties do for a start', () => {
  const template = make().template();
  template.resourceCountIs('AWS::ECS::Service', 1);
  template.hasResourceProperties('AWS::ElasticLoadBalancingV2::LoadBalancer', { Type: 'application', Scheme: 'internal' });
  template.hasResourceProperties('AWS::Lambda::Alias', { Name: 'live' });
  template.hasOutput('*', { Value: Match.objectLike({ 'Fn::Join': ['', ['http://', Match.anyValue()]] }) });
});

test('the task may do this and nothing else', () => {
  const template = make().template();
  assert.deepEqual(grants(template, /TaskTaskRole/), [
    'Allow lambda:GetAlias on ${Fn.Arn}',
    'Allow lambda:InvokeFunction on ${Fn.Arn}:*',
  ]);
  assert.deepEqual(grants(template, /TaskExecutionRole/), [
    'Allow logs:CreateLogStream,logs:PutLogEvents on ${DispatchLog.Arn}',
    'Allow secretsmanager:GetSecretValue,secretsmanager:DescribeSecret on ${DispatchSigningKeySecret}',
  ]);
  assert.deepEqual(grants(template, /SigningKeyRole/), [
    'Allow logs:CreateLogStream,logs:PutLogEvents on ${DispatchSigningKeyLog.Arn}',
    'Allow secretsmanager:GetSecretValue,secretsmanager:DescribeSecret on ${DispatchSigningKeySecret}',
    'Allow secretsmanager:PutSecretValue,secretsmanager:UpdateSecret,secretsmanager:UpdateSecretVersionStage on ${DispatchSigningKeySecret}',
  ]);
  assert.deepEqual(grants(template, /^FnServiceRole/), [], 'the function needs no right of ours');
});

test('these ports are open and no others', () => {
  assert.deepEqual(ports(make().template()), [
    'DispatchFrontGroup from ${Vpc.CidrBlock} 80',
    'DispatchFrontGroup to ${DispatchTaskGroup} 8080',
    'DispatchTaskGroup from ${DispatchFrontGroup} 8080',
    'DispatchTaskGroup from ${FnSecurityGroup} 7443',
    'DispatchTaskGroup to 0.0.0.0/0 443',
    'FnSecurityGroup to 0.0.0.0/0 all',
  ]);
});

test('a function whose group lets nothing out is let out to the relay', () => {
  const vpcOnly = make({ lambda: { allowAllOutbound: false } });
  assert.ok(ports(vpcOnly.template()).includes('FnSecurityGroup to ${DispatchTaskGroup} 7443'));
});

test('clients of the internet speak TLS to the balancer', () => {
  const made = make();
  const certificate = acm.Certificate.fromCertificateArn(made.stack, 'Certificate', 'arn:aws:acm:eu-central-1:123456789012:certificate/1');
  const topic = new sns.Topic(made.stack, 'Topic');
  const fn = aFunction(made.stack, 'Other', { vpc: made.vpc });
  new LambdaDispatch(made.stack, 'Public', { vpc: made.vpc, lambdaFunction: fn, certificate, internetFacing: true, alarmTopic: topic });
  const template = made.template();
  template.hasResourceProperties('AWS::ElasticLoadBalancingV2::Listener', { Port: 443, Protocol: 'HTTPS', SslPolicy: Match.stringLikeRegexp('TLS13') });
  assert.ok(ports(template).includes('PublicFrontGroup from 0.0.0.0/0 443'));
  const alarms = Object.entries(resources(template, 'AWS::CloudWatch::Alarm')).filter(([id]) => id.startsWith('Public'));
  assert.deepEqual(alarms.map(([id]) => short(id)).sort(), ['PublicBalancerErrors', 'PublicNoTask', 'PublicTasksCpu', 'PublicTasksMemory', 'PublicappErrors', 'PublicappThrottles']);
  for (const [, alarm] of alarms) assert.deepEqual(plain(alarm.Properties.AlarmActions), ['${Topic}']);
});

test('a network load balancer passes clients on with their addresses', () => {
  const made = make({ dispatch: { front: Front.NETWORK } });
  const template = made.template();
  template.hasResourceProperties('AWS::ElasticLoadBalancingV2::LoadBalancer', { Type: 'network', Scheme: 'internal' });
  template.hasResourceProperties('AWS::ElasticLoadBalancingV2::TargetGroup', {
    Protocol: 'TCP', Port: 8080, HealthCheckProtocol: 'HTTP', HealthCheckPath: '/lambda-dispatch/health',
    TargetGroupAttributes: Match.arrayWith([{ Key: 'preserve_client_ip.enabled', Value: 'true' }]),
  });
  assert.equal(configuration(made).listeners[0].trusted_hops, 0);
  assert.equal(configuration(make()).listeners[0].trusted_hops, 1);
});

test('a balancer that is there already gets Envoy as a target', () => {
  const made = make({ dispatch: { front: Front.NONE, trustedHops: 2 } });
  const listener = elb.ApplicationListener.fromApplicationListenerAttributes(made.stack, 'Shared', {
    listenerArn: 'arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/shared/50dc6c495c0c9188/f2f7dc8efc522ab2',
    securityGroup: ec2.SecurityGroup.fromSecurityGroupId(made.stack, 'SharedGroup', 'sg-0123456789abcdef0'),
  });
  const envoy = new elb.ApplicationTargetGroup(made.stack, 'Envoy', {
    vpc: made.vpc, port: 8080, protocol: elb.ApplicationProtocol.HTTP,
    targets: [made.dispatch.service.loadBalancerTarget({ containerName: 'envoy', containerPort: 8080 })],
    healthCheck: { path: '/lambda-dispatch/health' },
  });
  listener.addTargetGroups('Envoy', { targetGroups: [envoy], priority: 10, conditions: [elb.ListenerCondition.hostHeaders(['www.example.com'])] });
  const template = made.template();
  template.resourceCountIs('AWS::ElasticLoadBalancingV2::LoadBalancer', 0);
  template.resourceCountIs('AWS::ElasticLoadBalancingV2::TargetGroup', 1);
  assert.deepEqual(ports(template).filter((line) => line.startsWith('DispatchTaskGroup from')), [
    'DispatchTaskGroup from ${FnSecurityGroup} 7443', 'DispatchTaskGroup from sg-0123456789abcdef0 8080',
  ]);
  assert.deepEqual(Object.keys(template.toJSON().Outputs ?? {}), []);
  assert.equal(configuration(made).listeners[0].trusted_hops, 2);
  assert.equal(made.dispatch.loadBalancer, undefined);
  assert.throws(() => make({ dispatch: { front: Front.NONE, internetFacing: true } }), /internetFacing, certificate and accessLogs are for a balancer/);
});

test('a public relay is for functions outside of a VPC', () => {
  const made = make({ outsideOfVpc: true, dispatch: { relayNetwork: RelayNetwork.PUBLIC } });
  assert.ok(ports(made.template()).includes('DispatchTaskGroup from 0.0.0.0/0 7443'));
  const relay = configuration(made).relay;
  assert.deepEqual(relay, { address: '0.0.0.0:7443', advertise: 'public', tls: 'auto' });
  made.template().hasResourceProperties('AWS::ECS::Service', { NetworkConfiguration: { AwsvpcConfiguration: { AssignPublicIp: 'ENABLED' } } });
});

test('a relay with an IPv6 address is for functions of dual-stack subnets', () => {
  const made = make({ dispatch: { relayNetwork: RelayNetwork.PUBLIC_IPV6 } });
  assert.deepEqual(configuration(made).relay, { address: '[::]:7443', advertise: 'ipv6', tls: 'auto' });
  const open = ports(made.template());
  assert.ok(open.includes('DispatchTaskGroup from ::/0 7443') && open.includes('DispatchTaskGroup to ::/0 443'));
  assert.ok(!open.includes('DispatchTaskGroup from 0.0.0.0/0 7443'));
});

test('what cannot work is refused with what to do', () => {
  assert.throws(() => make({ outsideOfVpc: true }), /Web\/Dispatch: function app is in no VPC.*RelayNetwork.PUBLIC/);
  assert.throws(() => make({ lambda: { timeout: undefined } }), /its timeout is 3 s; give it a minute/);
  assert.throws(() => make({ lambda: { timeout: Duration.seconds(59) } }), /its timeout is 59 s/);
  assert.throws(() => make({ dispatch: { signingPublicKey: 'x' } }), /belong together/);
  const configured = (configuration: any) => () => make({ dispatch: { configuration } }).template();
  assert.throws(configured({ relay: { address: '0.0.0.0:9443' } }), /configuration: relay.address must have port 7443/);
  assert.throws(configured({ listeners: [{ name: 'front', address: '0.0.0.0:8080' }] }), /listeners must have one with port 8080 and health_path/);
  const { dispatch, fn } = make();
  assert.throws(() => dispatch.addFunction('api', { lambdaFunction: fn }), /function api: settings.routes/);
  assert.throws(() => dispatch.addFunction('app', { lambdaFunction: fn, settings: { routes: [{ path: '/x' }] } }), /is there already/);
  assert.throws(() => dispatch.addFunction('API', { lambdaFunction: fn, settings: { routes: [{ path: '/x' }] } }), /lower-case/);
});

test('what is no function, alias or key of the configuration is named', () => {
  const refused = (dispatch: any, what: RegExp) => assert.throws(() => make({ dispatch }), what);
  const { stack, fn, vpc, dispatch } = make();
  refused({ lambdaFunction: undefined }, /Web\/Dispatch: function app: lambdaFunction is missing/);
  refused({ vpc: undefined }, /Web\/Dispatch: vpc is missing/);
  const imported = lambda.Function.fromFunctionArn(stack, 'Imported', 'arn:aws:lambda:us-east-1:123456789012:function:web');
  for (const lambdaFunction of [imported, fn.currentVersion, fn.addAlias('other')]) {
    refused({ lambdaFunction }, /function app: lambdaFunction must be a function that CDK makes, and no version or alias of it/);
  }
  assert.throws(() => dispatch.addFunction('api', { lambdaFunction: imported as any, settings: { routes: [] } }), /function api: lambdaFunction must be/);
  refused({ settings: { scaling: { maxEnvironments: 3 } } }, /key maxEnvironments: .*: max_environments/);
  refused({ configuration: { accounts: [{ accountId: '1' }] } }, /key accountId: .*: account_id/);
  const shaped = (configuration: any) => () => make({ dispatch: { configuration } }).template();
  assert.throws(shaped({ listeners: null }), /listeners must have one with port 8080/);
  assert.throws(shaped({ relay: null }), /relay.address must have port 7443/);

  const another = aFunction(stack, 'Another', { vpc });
  const alias = another.addAlias('live');
  assert.throws(() => dispatch.addFunction('api', { lambdaFunction: fn, alias, settings: { routes: [] } }), /function api: alias is one of Web\/Another/);
  assert.throws(() => dispatch.addFunction('api', { lambdaFunction: another, settings: { routes: [] } }), /an alias live already, Web\/Another\/Aliaslive: name it by alias/);
  dispatch.addFunction('also', { lambdaFunction: another, alias, settings: { routes: [] } });
});

test('a function obeys one key', () => {
  const { stack, vpc, fn } = make();
  assert.throws(() => new LambdaDispatch(stack, 'Second', { vpc, lambdaFunction: fn }), /Web\/Second: function app: it obeys Web\/Dispatch: serve it there, by addFunction/);
  const signed = { vpc, signingSecret: secretsmanager.Secret.fromSecretNameV2(stack, 'Key', 'key'), signingPublicKey: 'x' };
  const shared = aFunction(stack, 'Shared', { vpc });
  const alias = shared.addAlias('shared');
  new LambdaDispatch(stack, 'One', { ...signed, lambdaFunction: shared, alias });
  new LambdaDispatch(stack, 'Two', { ...signed, lambdaFunction: shared, alias });
});

test('tasks in public subnets reach AWS by an address of their own, and a public relay is in no others', () => {
  const addresses = (made: Made) => Object.values(resources(made.template(), 'AWS::ECS::Service'))
    .map((s) => s.Properties.NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp);
  assert.deepEqual(addresses(make()), ['DISABLED']);
  assert.deepEqual(addresses(make({ dispatch: { taskSubnets: { subnetType: ec2.SubnetType.PUBLIC } } })), ['ENABLED']);
  const inside = { relayNetwork: RelayNetwork.PUBLIC, taskSubnets: { subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS } };
  assert.throws(() => make({ outsideOfVpc: true, dispatch: inside }), /Web\/Dispatch: a public relay needs tasks in public subnets/);
});

test('a network without a way out is taken where the tasks are told their subnets', () => {
  const app = new App({ analyticsReporting: false });
  const stack = new Stack(app, 'Web');
  const isolated = { subnetType: ec2.SubnetType.PRIVATE_ISOLATED };
  const vpc = new ec2.Vpc(stack, 'Vpc', { natGateways: 0, subnetConfiguration: [{ name: 'inner', ...isolated }] });
  const lambdaFunction = aFunction(stack, 'Fn', { vpc, vpcSubnets: isolated });
  assert.throws(() => new LambdaDispatch(stack, 'Lost', { vpc, lambdaFunction }), /Web\/Lost: no subnets for the tasks: .*taskSubnets.*VPC endpoints/);
  new LambdaDispatch(stack, 'Dispatch', { vpc, lambdaFunction, taskSubnets: isolated });
  Template.fromStack(stack).resourceCountIs('AWS::ECS::Service', 1);
});

test('a function that is served by two names has one alias', () => {
  const made = make();
  made.dispatch.addFunction('slow', { lambdaFunction: made.fn, settings: { routes: [{ path: '/slow' }], scaling: { concurrency: 1 } } });
  made.template().resourceCountIs('AWS::Lambda::Alias', 1);
  assert.deepEqual(configuration(made).functions.map((f: any) => f.lambda.qualifier), ['live', 'live']);
});

test('a function that is served by two names gets the layer once', () => {
  const scope = new Stack(new App({ analyticsReporting: false }), 'Layers');
  const peerLayer = lambda.LayerVersion.fromLayerVersionArn(scope, 'Peer', 'arn:aws:lambda:us-east-1:123456789012:layer:lambdapeer:1');
  const made = make({ dispatch: { peerLayer } });
  made.dispatch.addFunction('slow', { lambdaFunction: made.fn, peerLayer, settings: { routes: [{ path: '/slow' }] } });
  made.template().hasResourceProperties('AWS::Lambda::Function', { Layers: [peerLayer.layerVersionArn], MemorySize: 1769 });
});

test('a function of another account and region is started by a role there', () => {
  const app = new App({ analyticsReporting: false });
  const there = new Stack(app, 'There', { env: { account: '111111111111', region: 'eu-west-1' } });
  const lambdaFunction = aFunction(there, 'Fn', { functionName: 'far' });
  const alias = new lambda.Alias(there, 'Alias', { aliasName: 'prod', version: lambdaFunction.currentVersion });
  const here = new Stack(app, 'Here', { env: { account: '222222222222', region: 'eu-central-1' } });
  const vpc = new ec2.Vpc(here, 'Vpc', { maxAzs: 2 });
  const signingSecret = secretsmanager.Secret.fromSecretNameV2(here, 'Key', 'key');
  const props = { vpc, lambdaFunction, alias, relayNetwork: RelayNetwork.PUBLIC, signingSecret, signingPublicKey: 'x' };
  const assumeRole = iam.Role.fromRoleArn(here, 'Role', 'arn:aws:iam::111111111111:role/dispatch');
  const dispatch = new LambdaDispatch(here, 'Dispatch', { ...props, assumeRole });
  const made = { app, stack: here, vpc, fn: lambdaFunction, dispatch, template: () => Template.fromStack(here) };
  const told = configuration(made).functions[0].lambda;
  assert.deepEqual([told.function_name, told.qualifier, told.region, told.assume_role], ['far', 'prod', 'eu-west-1', 'arn:aws:iam::111111111111:role/dispatch']);
  assert.deepEqual(grants(made.template(), /^DispatchTaskTaskRole/), ['Allow sts:AssumeRole on arn:aws:iam::111111111111:role/dispatch']);
  assert.throws(() => new LambdaDispatch(here, 'A', { ...props, alias: undefined }), /Here\/A: function app is in another region or account/);
  assert.throws(() => new LambdaDispatch(here, 'B', { ...props, signingSecret: undefined, signingPublicKey: undefined }), /give signingSecret/);
});

test('the containers are of one user, on file systems that nobody writes', () => {
  const [task] = Object.values(resources(make().template(), 'AWS::ECS::TaskDefinition'));
  const containers = Object.fromEntries(task.Properties.ContainerDefinitions.map((c: any) => [c.Name, c]));
  assert.deepEqual(Object.keys(containers).sort(), ['dispatch', 'envoy']);
  for (const c of Object.values<any>(containers)) {
    assert.equal(c.User, '101:101');
    assert.equal(c.ReadonlyRootFilesystem, true);
    assert.equal(c.StopTimeout, 120, 'longer than the control plane takes to end');
    assert.deepEqual(c.MountPoints, [{ ContainerPath: '/run/lambda-dispatch', ReadOnly: false, SourceVolume: 'run' }]);
    assert.equal(c.LogConfiguration.Options.mode, 'non-blocking');
    assert.equal(c.Ulimits[0].SoftLimit, 65536);
  }
  assert.deepEqual(containers.dispatch.DependsOn, [{ Condition: 'START', ContainerName: 'envoy' }], 'so that Envoy is stopped last');
  assert.deepEqual(containers.dispatch.Command, ['run', 'env:DISPATCH_CONFIGURATION']);
  assert.deepEqual(containers.dispatch.HealthCheck.Command, ['CMD', '/lambda-dispatch', 'status']);
  assert.deepEqual(plain(containers.dispatch.Secrets), [{ Name: 'DISPATCH_SIGNING_KEY', ValueFrom: '${DispatchSigningKeySecret}' }]);
});

test('the configuration says what the stack knows of the function', () => {
  const made = make({ dispatch: { settings: { scaling: { max: 7 }, lambda: { memory_mb: 2048 } }, configuration: { log: { level: 'debug' } } } });
  assert.deepEqual(configuration(made), {
    state_dir: '/run/lambda-dispatch',
    listeners: [{ name: 'front', address: '0.0.0.0:8080', health_path: '/lambda-dispatch/health', trusted_hops: 1 }],
    relay: { address: '0.0.0.0:7443', advertise: 'auto', tls: 'auto' },
    signing: { key_file: 'env:DISPATCH_SIGNING_KEY' },
    aws: { region: '${AWS::Region}' },
    log: { format: 'json', level: 'debug' },
    functions: [{
      name: 'app', routes: [{ path: '/' }], scaling: { max: 7 },
      lambda: { function_name: '${Fn}', qualifier: 'live', timeout: '900s', memory_mb: 2048, architecture: 'arm64' },
    }],
  });
});

test('a second function has its own routes, grants and way to the relay', () => {
  const made = make();
  const api = aFunction(made.stack, 'Api', { vpc: made.vpc, timeout: Duration.minutes(1) });
  made.dispatch.addFunction('api', { lambdaFunction: api, settings: { routes: [{ path: '/api' }] } });
  const template = made.template();
  assert.deepEqual(configuration(made).functions.map((f: any) => [f.name, f.routes[0].path, f.lambda.timeout]), [['app', '/', '900s'], ['api', '/api', '60s']]);
  assert.deepEqual(grants(template, /TaskTaskRole/), ['${Api.Arn}', '${Fn.Arn}'].map((arn) => `Allow lambda:GetAlias on ${arn}`)
    .concat(['${Api.Arn}', '${Fn.Arn}'].map((arn) => `Allow lambda:InvokeFunction on ${arn}:*`)));
  assert.ok(ports(template).includes('DispatchTaskGroup from ${ApiSecurityGroup} 7443'));
  for (const fn of ['Fn', 'Api']) {
    const [properties] = Object.entries(resources(template, 'AWS::Lambda::Function')).filter(([id]) => short(id) === fn).map(([, r]) => r.Properties);
    assert.equal(plain(properties.Environment.Variables.LAMBDA_DISPATCH_PEER_PUBLIC_KEY), '${DispatchSigningKey.PublicKey}');
  }
});

test('a key of one\'s own makes no function that makes one', () => {
  const made = make();
  const secret = secretsmanager.Secret.fromSecretNameV2(made.stack, 'Own', 'dispatch/signing');
  const fn = aFunction(made.stack, 'Other', { vpc: made.vpc });
  new LambdaDispatch(made.stack, 'Own2', { vpc: made.vpc, lambdaFunction: fn, signingSecret: secret, signingPublicKey: 'mVQ5' });
  assert.equal(Object.keys(resources(made.template(), 'Custom::LambdaDispatchSigningKey')).length, 1, 'the first construct\'s');
});

test('the function may be of another stack', () => {
  const { app, stack, vpc } = make();
  const other = new Stack(app, 'Apps');
  const fn = aFunction(other, 'There', { vpc });
  const front = new Stack(app, 'FrontStack');
  new LambdaDispatch(front, 'Dispatch', { vpc, lambdaFunction: fn });
  app.synth(); // refuses a cycle between stacks
  assert.equal(Object.keys(resources(Template.fromStack(other), 'AWS::SecretsManager::Secret')).length, 1);
  assert.ok(front.dependencies.includes(other) && !other.dependencies.includes(front) && !stack.dependencies.includes(front));
});

test('dual-stack and imported networks are taken as they are', () => {
  const { stack, vpc: own } = make();
  const fn = aFunction(stack, 'Other', { vpc: own });
  const vpc = ec2.Vpc.fromVpcAttributes(stack, 'Imported', {
    vpcId: 'vpc-1', availabilityZones: ['a', 'b'], vpcCidrBlock: '10.9.0.0/16', privateSubnetIds: ['subnet-1', 'subnet-2'], publicSubnetIds: ['subnet-3', 'subnet-4'],
  });
  new LambdaDispatch(stack, 'There', { vpc, lambdaFunction: fn, alias: fn.addAlias('prod'), taskSubnets: { subnets: [vpc.privateSubnets[1]] } });
  const template = Template.fromStack(stack);
  assert.ok(ports(template).includes('ThereFrontGroup from 10.9.0.0/16 80'));
  template.hasResourceProperties('AWS::ECS::Service', { NetworkConfiguration: { AwsvpcConfiguration: { Subnets: ['subnet-2'] } } });
});
