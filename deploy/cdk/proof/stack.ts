import { join } from 'node:path';
import { CfnOutput, Duration, RemovalPolicy, Stack, StackProps } from 'aws-cdk-lib';
import * as budgets from 'aws-cdk-lib/aws-budgets';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as assets from 'aws-cdk-lib/aws-s3-assets';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import { Construct } from 'constructs';

/** What the runner in deploy/proof decides. */
export interface ProofProps extends StackProps {
  /** The folder with the programs: function, layer and witness, for Linux on arm64. */
  readonly build: string;
  /** The token that the witness asks of everybody. */
  readonly token: string;
  /** The address that AWS Budgets writes to. */
  readonly email: string;
  /** How long the extension is busy: `2s` say. */
  readonly linger: string;
  /** When the stack deletes itself: yyyy-mm-ddThh:mm:ss, UTC. */
  readonly until: string;
}

const watchedPort = 7000;
const askedPort = 7001;

/** What the probes of deploy/proof run on: five functions, and a host that sees what they do with connections. */
export class ProofStack extends Stack {
  private readonly variables: { [name: string]: string };

  constructor(scope: Construct, id: string, private readonly from: ProofProps) {
    super(scope, id, from);
    const vpc = new ec2.Vpc(this, 'Vpc', { maxAzs: 2, natGateways: 1 });
    const witness = this.witness(vpc);
    this.variables = {
      PROOF_WITNESS: `${witness.attrPublicIp}:${watchedPort}`, PROOF_TOKEN: from.token, PROOF_LINGER: from.linger,
    };
    new CfnOutput(this, 'Witness', { value: `${witness.attrPublicIp}:${askedPort}` });
    const extension = new lambda.LayerVersion(this, 'Extension', { code: lambda.Code.fromAsset(join(from.build, 'layer')) });
    this.function('plain');
    this.function('extended', { layers: [extension] });
    this.function('short', { timeout: Duration.seconds(3) });
    this.function('throttled', { reservedConcurrentExecutions: 0 });
    this.function('inside', { vpc, timeout: Duration.minutes(15) });
    this.guard();
  }

  private function(name: string, more: Partial<lambda.FunctionProps> = {}) {
    const made = new lambda.Function(this, name, {
      runtime: lambda.Runtime.PROVIDED_AL2023, architecture: lambda.Architecture.ARM_64, handler: 'bootstrap', memorySize: 1769,
      code: lambda.Code.fromAsset(join(this.from.build, 'function')), timeout: Duration.minutes(1), environment: this.variables,
      logGroup: new logs.LogGroup(this, `${name}-log`, { retention: logs.RetentionDays.ONE_DAY, removalPolicy: RemovalPolicy.DESTROY }),
      ...more,
    });
    new CfnOutput(this, `Function${name}`, { value: made.functionName });
  }

  // witness makes a host of the smallest size. The functions dial it, and the runner asks it what it has seen. Both show the token.
  private witness(vpc: ec2.IVpc): ec2.CfnEIP {
    const program = new assets.Asset(this, 'WitnessProgram', { path: join(this.from.build, 'witness', 'witness') });
    const host = new ec2.Instance(this, 'WitnessHost', {
      vpc, vpcSubnets: { subnetType: ec2.SubnetType.PUBLIC }, requireImdsv2: true,
      instanceType: ec2.InstanceType.of(ec2.InstanceClass.T4G, ec2.InstanceSize.NANO),
      machineImage: ec2.MachineImage.latestAmazonLinux2023({ cpuType: ec2.AmazonLinuxCpuType.ARM_64 }),
      blockDevices: [{ deviceName: '/dev/xvda', volume: ec2.BlockDeviceVolume.ebs(8, { encrypted: true }) }],
    });
    for (const port of [watchedPort, askedPort]) host.connections.allowFromAnyIpv4(ec2.Port.tcp(port), 'functions and the runner');
    program.grantRead(host.role);
    const file = host.userData.addS3DownloadCommand({ bucket: program.bucket, bucketKey: program.s3ObjectKey, localFile: '/opt/witness' });
    host.userData.addCommands(`chmod 755 ${file}`,
      `systemd-run --unit witness --property DynamicUser=yes --setenv PROOF_TOKEN=${this.from.token} ${file} :${watchedPort} :${askedPort}`);
    return new ec2.CfnEIP(this, 'WitnessAddress', { instanceId: host.instanceId });
  }

  // guard bounds the cost. AWS Budgets sends a mail at half of the budget and at all of it, and a schedule deletes the stack.
  private guard() {
    const subscribers = [{ subscriptionType: 'EMAIL', address: this.from.email }];
    new budgets.CfnBudget(this, 'Budget', {
      budget: { budgetType: 'COST', timeUnit: 'MONTHLY', budgetLimit: { amount: 5, unit: 'USD' } },
      notificationsWithSubscribers: [50, 100].map((threshold) => ({
        notification: { notificationType: 'ACTUAL', comparisonOperator: 'GREATER_THAN', threshold, thresholdType: 'PERCENTAGE' }, subscribers,
      })),
    });
    // The stack's own role deletes what is in it; this one may only say so.
    const role = new iam.Role(this, 'EndRole', { assumedBy: new iam.ServicePrincipal('scheduler.amazonaws.com') });
    role.addToPolicy(new iam.PolicyStatement({ actions: ['cloudformation:DeleteStack'], resources: [this.stackId] }));
    const end = new scheduler.CfnSchedule(this, 'End', {
      scheduleExpression: `at(${this.from.until})`, flexibleTimeWindow: { mode: 'OFF' },
      target: {
        arn: 'arn:aws:scheduler:::aws-sdk:cloudformation:deleteStack', roleArn: role.roleArn, input: this.toJsonString({ StackName: this.stackId }),
      },
    });
    end.node.addDependency(role);
  }
}
