import { Duration, Names, RemovalPolicy, Validations } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as servicediscovery from 'aws-cdk-lib/aws-servicediscovery';
import { Construct } from 'constructs';
import { cellPort } from './configuration';
import { Fargate, oneAtATime } from './fargate';
import { LambdaDispatchProps } from './props';

/**
 * Two control planes, of which one leads. It makes what they and the edge share: names, a secret, and the lease.
 * @internal
 */
export class Cell {
  /** Where Envoy and the relay look for control planes. */
  public readonly addresses: string[];
  /** All parts of the cell derive their certificates, and the key of instances' tokens, from it. */
  public readonly secret: secretsmanager.Secret;
  public readonly table: dynamodb.Table;
  public readonly services: ecs.FargateService[] = [];
  private readonly namespace: servicediscovery.PrivateDnsNamespace;

  constructor(scope: Construct, private readonly props: LambdaDispatchProps) {
    this.namespace = new servicediscovery.PrivateDnsNamespace(scope, 'Names', {
      vpc: props.vpc, description: 'Control planes of Lambda Dispatch',
      name: `${Names.uniqueResourceName(scope, { maxLength: 48, separator: '-' }).toLowerCase()}.internal`,
    });
    this.addresses = names.map((name) => `${name}.${this.namespace.namespaceName}:${cellPort}`);
    this.secret = new secretsmanager.Secret(scope, 'CellSecret', {
      description: 'Control planes, relay and Envoy of Lambda Dispatch know each other by it',
      generateSecretString: { passwordLength: 64, excludePunctuation: true }, removalPolicy: RemovalPolicy.DESTROY,
    });
    Validations.of(this.secret).acknowledge({
      id: 'AwsSolutions-SMG4', reason: 'Another one is brought in by steps: instances keep the token that they were started with',
    });
    this.table = new dynamodb.Table(scope, 'Lease', {
      partitionKey: { name: 'name', type: dynamodb.AttributeType.STRING }, billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    Validations.of(this.table).acknowledge({ id: 'AwsSolutions-DDB3', reason: 'One item, which is written each second: there is nothing to restore' });
  }

  /** Makes the services. They run in different zones where the subnets are in several. One is replaced after the other, so that one always leads. */
  public run(fargate: Fargate, task: ecs.FargateTaskDefinition, group: ec2.ISecurityGroup) {
    task.addToTaskRolePolicy(new iam.PolicyStatement({ actions: ['dynamodb:GetItem', 'dynamodb:PutItem'], resources: [this.table.tableArn] }));
    const { subnets } = this.props.vpc.selectSubnets(fargate.subnets);
    const zones = [...new Set(subnets.map((subnet) => subnet.availabilityZone))];
    names.forEach((name, n) => {
      const own = subnets.filter((subnet) => zones.length < names.length || zones.indexOf(subnet.availabilityZone) % names.length === n);
      const service = fargate.service(`ControlPlane${name.toUpperCase()}`, task, group, {
        ...oneAtATime, vpcSubnets: { subnets: own }, cloudMapOptions: { cloudMapNamespace: this.namespace, name, dnsTtl: Duration.seconds(5) },
      });
      service.node.addDependency(...this.services);
      this.services.push(service);
    });
  }
}

const names = ['a', 'b'];
