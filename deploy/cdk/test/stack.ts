import { App, Duration, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { LambdaDispatch, LambdaDispatchProps } from '../src';

/** What a test changes: properties of the function and of the construct. */
export interface Changes {
  readonly lambda?: Partial<lambda.FunctionProps>;
  readonly dispatch?: Partial<LambdaDispatchProps>;
  readonly outsideOfVpc?: boolean;
}

export interface Made {
  readonly app: App;
  readonly stack: Stack;
  readonly vpc: ec2.Vpc;
  readonly fn: lambda.Function;
  readonly dispatch: LambdaDispatch;
  readonly template: () => Template;
}

export function aFunction(scope: Stack, id: string, props: Partial<lambda.FunctionProps> = {}): lambda.Function {
  return new lambda.Function(scope, id, {
    runtime: lambda.Runtime.PROVIDED_AL2023, architecture: lambda.Architecture.ARM_64, handler: 'bootstrap',
    code: lambda.Code.fromAsset(__dirname), timeout: Duration.minutes(15), memorySize: 1769, ...props,
  });
}

/** A stack with a VPC, a function in it, and the construct in front: the least that works, but for the changes. */
export function make(changes: Changes = {}): Made {
  const app = new App({ analyticsReporting: false });
  const stack = new Stack(app, 'Web');
  const vpc = new ec2.Vpc(stack, 'Vpc', { maxAzs: 2 });
  const fn = aFunction(stack, 'Fn', { ...(!changes.outsideOfVpc && { vpc }), ...changes.lambda });
  const dispatch = new LambdaDispatch(stack, 'Dispatch', { vpc, lambdaFunction: fn, ...changes.dispatch });
  return { app, stack, vpc, fn, dispatch, template: () => Template.fromStack(stack) };
}

/** Resources of a type, by logical id. */
export function resources(template: Template, type: string): { [id: string]: any } {
  return template.findResources(type);
}

/** Puts what stands for a value of deployment into words: `${Fn}`, `${Fn.Arn}`. */
export function plain(value: any): any {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  if (value.Ref) return `\${${short(value.Ref)}}`;
  if (value['Fn::GetAtt']) return `\${${short(value['Fn::GetAtt'][0])}.${value['Fn::GetAtt'][1]}}`;
  if (value['Fn::Join']) return value['Fn::Join'][1].map(plain).join(value['Fn::Join'][0]);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

/** A logical id without the digest at its end. */
export const short = (id: string) => id.replace(/[0-9A-F]{8}$/, '');

/** A container of any task, as it is synthesized but for what stands for values of deployment. */
export function container(made: Made, name: string): any {
  const tasks = Object.values(resources(made.template(), 'AWS::ECS::TaskDefinition'));
  const [found] = tasks.flatMap((task) => task.Properties.ContainerDefinitions).filter((c: any) => c.Name === name);
  return plain(found);
}

/** The configuration that a container gets: the control plane's, or the relay's. */
export function configuration(made: Made, name = 'dispatch'): any {
  return JSON.parse(container(made, name).Environment.find((e: any) => e.Name === 'DISPATCH_CONFIGURATION').Value);
}

/** Statements of all policies of a role, each as one line. */
export function grants(template: Template, role: RegExp): string[] {
  const lines: string[] = [];
  for (const policy of Object.values(resources(template, 'AWS::IAM::Policy'))) {
    if (!policy.Properties.Roles.some((r: any) => role.test(short(r.Ref)))) continue;
    for (const s of plain(policy.Properties.PolicyDocument.Statement)) {
      lines.push(`${s.Effect} ${[s.Action].flat().join(',')} on ${[s.Resource].flat().join(',')}`);
    }
  }
  return lines.sort();
}

/** Every port that is open, in and out, as one line: group, direction, peer and port. */
export function ports(template: Template): string[] {
  const lines: string[] = [];
  const port = (r: any) => (r.IpProtocol === '-1' ? 'all' : r.FromPort === r.ToPort ? `${r.FromPort}` : `${r.FromPort}-${r.ToPort}`);
  const peer = (r: any) => plain(r.CidrIp ?? r.CidrIpv6 ?? r.SourceSecurityGroupId ?? r.DestinationSecurityGroupId).replace('.GroupId', '');
  for (const [id, group] of Object.entries(resources(template, 'AWS::EC2::SecurityGroup'))) {
    for (const r of group.Properties.SecurityGroupIngress ?? []) lines.push(`${short(id)} from ${peer(r)} ${port(r)}`);
    for (const r of group.Properties.SecurityGroupEgress ?? []) {
      if (r.CidrIp !== '255.255.255.255/32') lines.push(`${short(id)} to ${peer(r)} ${port(r)}`); // which CDK writes for none
    }
  }
  const owner = (r: any) => plain(r.Properties.GroupId).replace(/[${}]|\.GroupId/g, '');
  for (const r of Object.values(resources(template, 'AWS::EC2::SecurityGroupIngress'))) lines.push(`${owner(r)} from ${peer(r.Properties)} ${port(r.Properties)}`);
  for (const r of Object.values(resources(template, 'AWS::EC2::SecurityGroupEgress'))) lines.push(`${owner(r)} to ${peer(r.Properties)} ${port(r.Properties)}`);
  return lines.sort();
}
