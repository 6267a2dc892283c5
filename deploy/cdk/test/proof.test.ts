import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { App } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { ProofStack } from '../proof/stack';
import { grants, plain, ports, resources } from './stack';

const folder = mkdtempSync(join(tmpdir(), 'lambda-dispatch-proof-'));
for (const program of ['function/bootstrap', 'layer/extensions/proof', 'witness/witness']) {
  mkdirSync(join(folder, program, '..'), { recursive: true });
  writeFileSync(join(folder, program), '');
}
const props = { build: folder, token: '0123456789abcdef', email: 'ops@example.com', linger: '2s', until: '2026-12-01T12:00:00' };
const template = Template.fromStack(new ProofStack(new App({ analyticsReporting: false }), 'LambdaDispatchProof', props));

test('the stack tells the runner of what the probes ask for', () => {
  const runner = readFileSync(join(__dirname, '../../../proof/stage.go'), 'utf8');
  const [, list] = runner.match(/var functions = \[\]string{(.*)}/)!;
  const outputs = list.split(', ').map((name) => `Function${name}`).concat('Witness');
  assert.deepEqual(Object.keys(template.toJSON().Outputs).sort(), outputs.sort());
});

test('functions are as the probes take them to be', () => {
  const of = (name: string) => Object.entries(resources(template, 'AWS::Lambda::Function')).filter(([id]) => id.startsWith(name)).map(([, f]) => f.Properties)[0];
  assert.equal(of('short').Timeout, 3);
  assert.equal(of('throttled').ReservedConcurrentExecutions, 0);
  assert.equal(of('extended').Layers.length, 1);
  assert.equal(of('inside').Timeout, 900);
  assert.ok(of('inside').VpcConfig && !of('plain').VpcConfig);
  assert.deepEqual(plain(of('plain').Environment.Variables), { PROOF_WITNESS: '${WitnessAddress.PublicIp}:7000', PROOF_TOKEN: '0123456789abcdef', PROOF_LINGER: '2s' });
  template.resourceCountIs('AWS::EC2::NatGateway', 1);
});

test('the witness runs as nobody, and is all that is open', () => {
  const open = ports(template).filter((line) => / from /.test(line));
  assert.deepEqual(open, ['WitnessHostInstanceSecurityGroup from 0.0.0.0/0 7000', 'WitnessHostInstanceSecurityGroup from 0.0.0.0/0 7001']);
  const [host] = Object.values(resources(template, 'AWS::EC2::Instance'));
  assert.match(plain(host.Properties.UserData['Fn::Base64']), /DynamicUser=yes .*\/opt\/witness :7000 :7001$/);
});

test('it costs little, says so, and ends by itself', () => {
  template.hasResourceProperties('AWS::Budgets::Budget', {
    Budget: { BudgetLimit: { Amount: 5, Unit: 'USD' } },
    NotificationsWithSubscribers: [50, 100].map((Threshold) => ({
      Notification: Match.objectLike({ Threshold, NotificationType: 'ACTUAL' }), Subscribers: [{ Address: 'ops@example.com', SubscriptionType: 'EMAIL' }],
    })),
  });
  template.hasResourceProperties('AWS::Scheduler::Schedule', {
    ScheduleExpression: 'at(2026-12-01T12:00:00)', Target: Match.objectLike({ Arn: 'arn:aws:scheduler:::aws-sdk:cloudformation:deleteStack' }),
  });
  assert.deepEqual(grants(template, /EndRole/), ['Allow cloudformation:DeleteStack on ${AWS::StackId}']);
  for (const [id, r] of Object.entries(template.toJSON().Resources as { [id: string]: any })) assert.ok(!/Retain/.test(r.DeletionPolicy ?? ''), id);
});

test('the app says which variable is missing', () => {
  const app = join(__dirname, '../proof/app.js');
  const env = { PATH: process.env.PATH, PROOF_BUILD: folder, PROOF_TOKEN: props.token, PROOF_EMAIL: props.email, PROOF_LINGER: '2s', PROOF_UNTIL: props.until };
  assert.match(spawnSync('node', [app], { encoding: 'utf8', env }).stderr, /CDK_DEFAULT_REGION is not set/);
  execFileSync('node', [app], { env: { ...env, CDK_DEFAULT_REGION: 'eu-central-1' } });
});

test('cfn-lint finds nothing in the proof', { skip: spawnSync('cfn-lint', ['--version']).status !== 0 && 'no cfn-lint here' }, () => {
  const file = join(folder, 'proof.json');
  writeFileSync(file, JSON.stringify(template.toJSON()));
  const lint = spawnSync('cfn-lint', ['--ignore-checks', 'W3005', '--', file], { encoding: 'utf8' });
  assert.equal(lint.status, 0, lint.stdout + lint.stderr);
});
