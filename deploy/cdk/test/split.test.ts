import assert from 'node:assert/strict';
import test from 'node:test';
import { Match, Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import { LambdaDispatch, LambdaDispatchProps, Layout, RelayNetwork } from '../src';
import { aFunction, configuration, container, grants, make, plain, ports, resources, short } from './stack';

const split = (more: Partial<LambdaDispatchProps> = {}) => make({ dispatch: { layout: Layout.SPLIT, ...more } });

/** The services by the names of their constructs. */
function services(template: Template): { [id: string]: any } {
  return Object.fromEntries(Object.entries(resources(template, 'AWS::ECS::Service')).map(([id, r]) => [short(id).replace('Dispatch', '').replace('Service', ''), r]));
}

test('the edge is apart from a leader and a standby', () => {
  const template = split().template();
  const all = services(template);
  assert.deepEqual(Object.keys(all).sort(), ['', 'ControlPlaneA', 'ControlPlaneB'], 'the first is the edge');
  for (const s of Object.values(all)) {
    assert.equal(s.Properties.DesiredCount, 1);
    const { MinimumHealthyPercent, MaximumPercent, DeploymentCircuitBreaker } = s.Properties.DeploymentConfiguration;
    assert.deepEqual([MinimumHealthyPercent, MaximumPercent], [0, 100], 'two relays may not run, nor two control planes of one name');
    assert.deepEqual(DeploymentCircuitBreaker, { Enable: true, Rollback: true });
  }
  const after = (id: string) => all[id].DependsOn.map(short).filter((d: string) => /Service$/.test(d));
  assert.ok(!after('ControlPlaneA').includes('DispatchControlPlaneBService'));
  assert.ok(after('ControlPlaneB').includes('DispatchControlPlaneAService'), 'one after the other, so that one leads');
  assert.ok(after('').includes('DispatchControlPlaneAService') && after('').includes('DispatchControlPlaneBService'), 'the edge last');
  assert.deepEqual(all.ControlPlaneA.Properties.TaskDefinition, all.ControlPlaneB.Properties.TaskDefinition);
  template.resourceCountIs('AWS::ECS::TaskDefinition', 2);
});

test('control planes are in different zones', () => {
  const all = services(split().template());
  const subnets = (id: string) => plain(all[id].Properties.NetworkConfiguration.AwsvpcConfiguration.Subnets);
  assert.deepEqual(subnets('ControlPlaneA'), ['${VpcPrivateSubnet1Subnet}']);
  assert.deepEqual(subnets('ControlPlaneB'), ['${VpcPrivateSubnet2Subnet}']);
  assert.deepEqual(subnets(''), ['${VpcPrivateSubnet1Subnet}', '${VpcPrivateSubnet2Subnet}']);
  const made = make();
  const one = { subnets: [made.vpc.privateSubnets[0]] };
  new LambdaDispatch(made.stack, 'One', { vpc: made.vpc, lambdaFunction: aFunction(made.stack, 'Other', { vpc: made.vpc }), layout: Layout.SPLIT, taskSubnets: one });
  const there = Object.entries(resources(made.template(), 'AWS::ECS::Service')).filter(([id]) => id.startsWith('OneControlPlane'));
  assert.equal(there.length, 2);
  for (const [, s] of there) assert.deepEqual(plain(s.Properties.NetworkConfiguration.AwsvpcConfiguration.Subnets), ['${VpcPrivateSubnet1Subnet}']);
});

test('each control plane has a name, which leads to its task', () => {
  const template = split().template();
  const [namespace] = Object.values(resources(template, 'AWS::ServiceDiscovery::PrivateDnsNamespace'));
  assert.match(namespace.Properties.Name, /^web-dispatch[a-z0-9-]*\.internal$/);
  assert.deepEqual(plain(namespace.Properties.Vpc), '${Vpc}');
  const names = Object.values(resources(template, 'AWS::ServiceDiscovery::Service'));
  assert.deepEqual(names.map((n) => n.Properties.Name).sort(), ['a', 'b']);
  for (const n of names) assert.deepEqual(n.Properties.DnsConfig.DnsRecords, [{ TTL: 5, Type: 'A' }]);
  const told = configuration(split()).cell.control_planes;
  assert.deepEqual(told, ['a', 'b'].map((name) => `${name}.${namespace.Properties.Name}:7444`));
});

test('two constructs of one VPC have names of their own', () => {
  const made = split();
  new LambdaDispatch(made.stack, 'Other', { vpc: made.vpc, lambdaFunction: aFunction(made.stack, 'Fn2', { vpc: made.vpc }), layout: Layout.SPLIT });
  const names = Object.values(resources(made.template(), 'AWS::ServiceDiscovery::PrivateDnsNamespace')).map((n) => n.Properties.Name);
  assert.equal(new Set(names).size, 2);
});

test('each task may do this and nothing else', () => {
  const template = split().template();
  assert.deepEqual(grants(template, /^DispatchTaskTaskRole/), [], 'the edge calls no API');
  assert.deepEqual(grants(template, /^DispatchTaskExecutionRole/), [
    'Allow logs:CreateLogStream,logs:PutLogEvents on ${DispatchLog.Arn}',
    'Allow secretsmanager:GetSecretValue,secretsmanager:DescribeSecret on ${DispatchCellSecret}',
  ]);
  assert.deepEqual(grants(template, /ControlPlaneTaskRole/), [
    'Allow dynamodb:GetItem,dynamodb:PutItem on ${DispatchLease.Arn}',
    'Allow lambda:GetAlias on ${Fn.Arn}',
    'Allow lambda:InvokeFunction on ${Fn.Arn}:*',
  ]);
  assert.deepEqual(grants(template, /ControlPlaneExecutionRole/), [
    'Allow logs:CreateLogStream,logs:PutLogEvents on ${DispatchLog.Arn}',
    'Allow secretsmanager:GetSecretValue,secretsmanager:DescribeSecret on ${DispatchCellSecret}',
    'Allow secretsmanager:GetSecretValue,secretsmanager:DescribeSecret on ${DispatchSigningKeySecret}',
  ]);
});

test('these ports are open and no others', () => {
  assert.deepEqual(ports(split().template()), [
    'DispatchControlPlaneGroup from ${DispatchTaskGroup} 7444',
    'DispatchControlPlaneGroup to 0.0.0.0/0 443',
    'DispatchFrontGroup from ${Vpc.CidrBlock} 80',
    'DispatchFrontGroup to ${DispatchTaskGroup} 8080',
    'DispatchTaskGroup from ${DispatchFrontGroup} 8080',
    'DispatchTaskGroup from ${FnSecurityGroup} 7443',
    'DispatchTaskGroup to ${DispatchControlPlaneGroup} 7444',
    'DispatchTaskGroup to 0.0.0.0/0 443',
    'FnSecurityGroup to 0.0.0.0/0 all',
  ]);
});

test('a public relay opens the edge and no control plane', () => {
  const made = make({ outsideOfVpc: true, dispatch: { layout: Layout.SPLIT, relayNetwork: RelayNetwork.PUBLIC } });
  const open = ports(made.template());
  assert.ok(open.includes('DispatchTaskGroup from 0.0.0.0/0 7443'));
  assert.deepEqual(open.filter((p) => /ControlPlaneGroup from/.test(p)), ['DispatchControlPlaneGroup from ${DispatchTaskGroup} 7444']);
  assert.equal(configuration(made, 'relay').relay.advertise, 'public');
});

test('the lease is an item that is not kept', () => {
  const template = split().template();
  template.hasResource('AWS::DynamoDB::Table', {
    Properties: {
      KeySchema: [{ AttributeName: 'name', KeyType: 'HASH' }], AttributeDefinitions: [{ AttributeName: 'name', AttributeType: 'S' }],
      BillingMode: 'PAY_PER_REQUEST',
    },
    DeletionPolicy: 'Delete',
  });
  template.hasResourceProperties('AWS::SecretsManager::Secret', { GenerateSecretString: { PasswordLength: 64, ExcludePunctuation: true } });
});

test('the containers get these commands, variables and secrets', () => {
  const made = split();
  const { relay, envoy, dispatch } = Object.fromEntries(['relay', 'envoy', 'dispatch'].map((name) => [name, container(made, name)]));
  for (const c of [relay, envoy, dispatch]) {
    assert.deepEqual([c.User, c.ReadonlyRootFilesystem], ['101:101', true]);
    assert.deepEqual(c.MountPoints, [{ ContainerPath: '/run/lambda-dispatch', ReadOnly: false, SourceVolume: 'run' }]);
  }
  const variables = (c: any) => (c.Environment ?? []).map((e: any) => e.Name);
  assert.deepEqual([variables(relay), variables(envoy), variables(dispatch)], [['DISPATCH_CONFIGURATION'], [], ['DISPATCH_CONFIGURATION']]);
  const secret = { Name: 'DISPATCH_CELL_SECRET', ValueFrom: '${DispatchCellSecret}' };
  assert.deepEqual([relay.Secrets, envoy.Secrets], [[secret], undefined]);
  assert.deepEqual(dispatch.Secrets, [{ Name: 'DISPATCH_SIGNING_KEY', ValueFrom: '${DispatchSigningKeySecret}' }, secret]);
  assert.deepEqual(relay.Command, ['relay', 'env:DISPATCH_CONFIGURATION']);
  assert.deepEqual(dispatch.Command, ['run', 'env:DISPATCH_CONFIGURATION']);
  assert.deepEqual(envoy.Command.slice(0, 3), ['envoy', '--config-path', '/run/lambda-dispatch/pair/bootstrap.yaml']);
  assert.deepEqual(envoy.DependsOn, [{ Condition: 'HEALTHY', ContainerName: 'relay' }], 'the relay writes its bootstrap, and ends after it');
  assert.deepEqual(relay.HealthCheck.Command, ['CMD', '/lambda-dispatch', 'status', '--admin', '127.0.0.1:9902']);
  assert.deepEqual(dispatch.HealthCheck.Command, ['CMD', '/lambda-dispatch', 'status']);
  const listens = [relay, envoy, dispatch].map((c) => c.PortMappings.map((p: any) => p.ContainerPort));
  assert.deepEqual(listens, [[7443], [8080], [7444]]);
});

test('both are told the same of the cell, and the edge of no function', () => {
  const made = split({ configuration: { log: { level: 'debug' }, listeners: [{ name: 'mine', address: '0.0.0.0:8080', health_path: '/lambda-dispatch/health' }] } });
  const [whole, edge] = [configuration(made), configuration(made, 'relay')];
  assert.deepEqual(Object.keys(edge).sort(), ['cell', 'lease', 'log', 'relay', 'state_dir']);
  for (const [key, value] of Object.entries(edge)) assert.deepEqual(value, whole[key], key);
  assert.deepEqual(edge.relay, { address: '0.0.0.0:7443', advertise: 'auto', tls: 'auto', apart: true, name: 'edge', admin: '127.0.0.1:9902' });
  assert.equal(edge.cell.address, '0.0.0.0:7444');
  assert.equal(edge.cell.secret_file, 'env:DISPATCH_CELL_SECRET');
  assert.deepEqual(edge.log, { format: 'json', level: 'debug' });
  assert.deepEqual(whole.lease, { store: 'dynamodb', table: '${DispatchLease}' });
  assert.equal(whole.functions[0].name, 'app');
});

test('what changes of functions replaces control planes and not the edge', () => {
  const before = split();
  const after = split({ settings: { scaling: { max: 7 } }, image: ecs.ContainerImage.fromRegistry('ours:2'), relayImage: ecs.ContainerImage.fromRegistry('ours:1') });
  after.dispatch.addFunction('api', { lambdaFunction: aFunction(after.stack, 'Api', { vpc: after.vpc }), settings: { routes: [{ path: '/api' }] } });
  assert.notDeepEqual(container(after, 'dispatch'), container(before, 'dispatch'));
  assert.deepEqual(container(after, 'relay').Environment, container(before, 'relay').Environment);
  assert.deepEqual([container(after, 'relay').Image, container(after, 'dispatch').Image], ['ours:1', 'ours:2']);
  assert.ok(grants(after.template(), /ControlPlaneTaskRole/).includes('Allow lambda:InvokeFunction on ${Api.Arn}:*'));
});

test('clients wait for an edge as short as may be, and for a task that stays not at all', () => {
  const delay = (value: string) => ({ TargetGroupAttributes: Match.arrayWith([{ Key: 'deregistration_delay.timeout_seconds', Value: value }]) });
  split().template().hasResourceProperties('AWS::ElasticLoadBalancingV2::TargetGroup', delay('20'));
  make().template().hasResourceProperties('AWS::ElasticLoadBalancingV2::TargetGroup', delay('120'));
});

test('each control plane has alarms of its own', () => {
  const ids = Object.keys(resources(split().template(), 'AWS::CloudWatch::Alarm')).map(short).sort();
  assert.deepEqual(ids, ['NoTask', 'BalancerErrors', 'TasksCpu', 'TasksMemory', 'ControlPlaneACpu', 'ControlPlaneAMemory', 'ControlPlaneBCpu',
    'ControlPlaneBMemory', 'appErrors', 'appThrottles'].map((id) => `Dispatch${id}`).sort());
});

test('sizes are properties', () => {
  const sizes = (made: ReturnType<typeof make>) => Object.values(resources(made.template(), 'AWS::ECS::TaskDefinition'))
    .map((t) => `${t.Properties.Cpu}/${t.Properties.Memory}`).sort();
  assert.deepEqual(sizes(split()), ['1024/2048', '256/512']);
  assert.deepEqual(sizes(split({ controlPlaneCpu: 512, controlPlaneMemoryLimitMiB: 1024, cpu: 2048, memoryLimitMiB: 4096 })), ['2048/4096', '512/1024']);
});

test('an imported network does', () => {
  const { stack, vpc: own } = make();
  const fn = aFunction(stack, 'Other', { vpc: own });
  const vpc = ec2.Vpc.fromVpcAttributes(stack, 'Imported', {
    vpcId: 'vpc-1', availabilityZones: ['x', 'y'], vpcCidrBlock: '10.9.0.0/16', privateSubnetIds: ['subnet-1', 'subnet-2'],
  });
  new LambdaDispatch(stack, 'There', { vpc, lambdaFunction: fn, alias: fn.addAlias('prod'), layout: Layout.SPLIT });
  const found = Object.entries(resources(Template.fromStack(stack), 'AWS::ECS::Service')).filter(([id]) => id.startsWith('ThereControlPlane'));
  assert.deepEqual(found.map(([, s]) => s.Properties.NetworkConfiguration.AwsvpcConfiguration.Subnets).sort(), [['subnet-1'], ['subnet-2']]);
});
