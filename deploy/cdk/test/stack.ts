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

/** The control plane's configuration that the task gets. */
export function configuration(made: Made): any {
  const [task] = Object.values(resources(made.template(), 'AWS::ECS::TaskDefinition'));
  const container = task.Properties.ContainerDefinitions.find((c: any) => c.Name === 'dispatch');
  return JSON.parse(plain(container.Environment.find((e: any) => e.Name === 'DISPATCH_CONFIGURATION').Value));
}
