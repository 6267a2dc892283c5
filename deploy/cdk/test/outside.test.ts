// What others say of the result: the control plane and Envoy, cdk-nag, cfn-lint, and the README.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'node:test';
import { Validations } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { AwsSolutionsChecks } from 'cdk-nag';
import { Front, Layout, RelayNetwork } from '../src';
import { Changes, configuration, container, Made, make } from './stack';

const layouts: { [name: string]: Changes } = {
  'the least': {},
  'a network load balancer': { dispatch: { front: Front.NETWORK, internetFacing: true } },
  'a public relay': { outsideOfVpc: true, dispatch: { relayNetwork: RelayNetwork.PUBLIC } },
  'an IPv6 relay': { dispatch: { relayNetwork: RelayNetwork.PUBLIC_IPV6 } },
  'split': { dispatch: { layout: Layout.SPLIT } },
  'split with a public relay': { outsideOfVpc: true, dispatch: { layout: Layout.SPLIT, relayNetwork: RelayNetwork.PUBLIC } },
};

const folder = mkdtempSync(join(tmpdir(), 'lambda-dispatch-cdk-'));
const has = (program: string) => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
const binary = process.env.LAMBDA_DISPATCH ?? '';
const key = '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n';

const noBinary = !existsSync(binary) && 'LAMBDA_DISPATCH names no binary';

/** What a container's process has in its environment, with values in the place of those of a deployment. */
function environment(made: Made, name: string): { [name: string]: string } {
  const cfg = JSON.stringify(configuration(made, name)).replaceAll('${AWS::Region}', 'eu-central-1').replace(/\$\{[^}]*\}/g, 'web');
  return {
    PATH: process.env.PATH ?? '', DISPATCH_CONFIGURATION: cfg, DISPATCH_SIGNING_KEY: key, DISPATCH_CELL_SECRET: '0aZ'.repeat(20),
    LAMBDA_DISPATCH_CONTROL_LEASE_ENDPOINT: cfg.includes('dynamodb') ? 'http://127.0.0.1:9' : '', // where nobody answers
  };
}

for (const [name, changes] of Object.entries(layouts)) {
  test(`${name}: the control plane accepts its configuration`, { skip: noBinary }, () => {
    const out = execFileSync(binary, ['check', 'env:DISPATCH_CONFIGURATION'], { encoding: 'utf8', env: environment(make(changes), 'dispatch') });
    assert.match(out, /the configuration is valid/);
    assert.doesNotMatch(out, /warning/);
  });
}

test('the relay of the edge starts as it is told, is healthy, and writes the bootstrap that Envoy is told to read', { skip: noBinary }, async () => {
  const made = make(layouts.split);
  const env: any = environment(made, 'relay');
  const state = mkdtempSync('/tmp/ld-'); // short, as paths of sockets must be
  const settings = ['--set', `state_dir=${state}`, '--set', 'relay.address=127.0.0.1:17443'];
  const relay = spawn(binary, ['relay', ...settings, 'env:DISPATCH_CONFIGURATION'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  try {
    let said = '';
    for await (const line of createInterface(relay.stderr)) {
      said += `${line}\n`;
      if (line.includes('relay runs')) break;
    }
    assert.match(said, /relay runs/);
    const [, , ...health] = container(made, 'relay').HealthCheck.Command;
    assert.match(execFileSync(binary, health, { encoding: 'utf8', env }), /no control plane is attached/);
    const [, , file] = container(made, 'envoy').Command;
    const bootstrap = readFileSync(file.replace('/run/lambda-dispatch', state), 'utf8');
    for (const address of configuration(made, 'relay').cell.control_planes) assert.ok(bootstrap.includes(`address: "${address.split(':')[0]}"`));
  } finally {
    relay.kill();
  }
});

test('cfn-lint finds nothing in any layout', { skip: !has('cfn-lint') && 'no cfn-lint here' }, () => {
  const files = Object.entries(layouts).map(([name, changes]) => {
    const file = join(folder, `${name}.json`);
    writeFileSync(file, JSON.stringify(make(changes).template().toJSON()));
    return file;
  });
  // W3005: dependencies that CDK writes down although a reference says them.
  const lint = spawnSync('cfn-lint', ['--ignore-checks', 'W3005', '--', ...files], { encoding: 'utf8' });
  assert.equal(lint.status, 0, lint.stdout + lint.stderr);
});

/** What cdk-nag finds below the construct: rule and construct. */
function findings(changes: Changes): string[] {
  const { app } = make(changes);
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  const error = console.error;
  let text = '';
  console.error = (line: string) => (text += `${line}\n`); // CDK prints the report
  try {
    app.synth();
  } catch (err) {
    text += (err as Error).message;
  } finally {
    console.error = error;
  }
  const found = [...text.matchAll(/^ *Web\/Dispatch\/(\S+) .*\n *Acknowledge with 'AwsSolutions::AwsSolutions-(\w+)/gm)];
  return found.map(([, construct, rule]) => `${rule} ${construct}`).sort();
}

test('cdk-nag finds what is left to the reader, and nothing else', () => {
  assert.deepEqual(findings({}), [
    'EC23 FrontGroup/Resource', // it cannot read the VPC's addresses, which are the only ones that are let in
    'ELB2 Front/Resource', // access logs need a bucket: accessLogs
    'IAM5 Task/TaskRole/DefaultPolicy/Resource', // versions: the old one must be startable by its number while a new one is tried
  ]);
});

test('cdk-nag finds no more in the split layout', () => {
  assert.deepEqual(findings(layouts.split), [
    'EC23 FrontGroup/Resource', 'ELB2 Front/Resource', 'IAM5 ControlPlane/TaskRole/DefaultPolicy/Resource',
  ]);
});

test('the README\'s snippet does what it says', () => {
  const { stack } = require('./readme.gen');
  const template = Template.fromStack(stack);
  template.resourceCountIs('AWS::ECS::Service', 1);
  template.hasResourceProperties('AWS::Lambda::Function', { PackageType: 'Image', Timeout: 900 });
});
