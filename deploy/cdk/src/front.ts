import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import { Construct } from 'constructs';
import { frontPort, healthPath } from './configuration';
import { Front, LambdaDispatchProps, Layout } from './props';

/**
 * The balancer before Envoy, and its metrics.
 * @internal
 */
export interface Entry {
  readonly loadBalancer: elb.ApplicationLoadBalancer | elb.NetworkLoadBalancer;
  readonly connections: ec2.Connections;
  readonly healthy: cloudwatch.IMetric;
  /** Errors that the balancer itself answers, where it knows HTTP. */
  readonly errors?: cloudwatch.IMetric;
}

// The health check. Envoy itself answers it, also while no instance runs, and fails it from the control plane's SIGTERM on.
const check = {
  path: healthPath, interval: Duration.seconds(5), timeout: Duration.seconds(2), healthyThresholdCount: 2, unhealthyThresholdCount: 2,
};

// How long a task that leaves may finish its requests: ECS sends SIGTERM after it. It is short where the next task starts only then, because
// clients wait for that.
const leave = { [Layout.SMALL]: Duration.minutes(2), [Layout.SPLIT]: Duration.seconds(20) };

// How long a connection may be silent. It is longer than a request may be silent (its time in the queue and timeouts.idle), and shorter
// than Envoy keeps a connection without requests.
const idle = Duration.minutes(9);

/**
 * Makes the balancer.
 * @internal
 */
export function entry(scope: Construct, props: LambdaDispatchProps, service: ecs.FargateService): Entry {
  const group = new ec2.SecurityGroup(scope, 'FrontGroup', {
    vpc: props.vpc, description: 'Clients to the balancer', allowAllOutbound: false,
  });
  const port = props.certificate ? 443 : 80;
  group.addIngressRule(props.internetFacing ? ec2.Peer.anyIpv4() : ec2.Peer.ipv4(props.vpc.vpcCidrBlock), ec2.Port.tcp(port), 'clients');
  service.connections.allowFrom(group, ec2.Port.tcp(frontPort), 'balancer to Envoy');
  const target = service.loadBalancerTarget({ containerName: 'envoy', containerPort: frontPort });
  const made = props.front === Front.NETWORK ? network(scope, props, group, port, target) : application(scope, props, group, port, target);
  if (props.accessLogs) made.loadBalancer.logAccessLogs(props.accessLogs);
  return made;
}

function application(scope: Construct, props: LambdaDispatchProps, group: ec2.SecurityGroup, port: number,
  target: ecs.IEcsLoadBalancerTarget): Entry {
  const loadBalancer = new elb.ApplicationLoadBalancer(scope, 'Front', {
    vpc: props.vpc, internetFacing: props.internetFacing ?? false, securityGroup: group, idleTimeout: idle, dropInvalidHeaderFields: true,
  });
  const listener = loadBalancer.addListener('Clients', props.certificate
    ? { port, open: false, protocol: elb.ApplicationProtocol.HTTPS, certificates: [props.certificate], sslPolicy: elb.SslPolicy.RECOMMENDED_TLS }
    : { port, open: false, protocol: elb.ApplicationProtocol.HTTP });
  const targets = listener.addTargets('Envoy', {
    port: frontPort, protocol: elb.ApplicationProtocol.HTTP, targets: [target], healthCheck: check, deregistrationDelay: leave[props.layout ?? Layout.SMALL],
  });
  return {
    loadBalancer, healthy: targets.metrics.healthyHostCount({ statistic: 'min', period: Duration.minutes(1) }),
    connections: new ec2.Connections({ securityGroups: [group], defaultPort: ec2.Port.tcp(port) }),
    errors: loadBalancer.metrics.httpCodeElb(elb.HttpCodeElb.ELB_5XX_COUNT, { period: Duration.minutes(1) }),
  };
}

function network(scope: Construct, props: LambdaDispatchProps, group: ec2.SecurityGroup, port: number,
  target: ecs.IEcsLoadBalancerTarget): Entry {
  const loadBalancer = new elb.NetworkLoadBalancer(scope, 'Front', {
    vpc: props.vpc, internetFacing: props.internetFacing ?? false, securityGroups: [group], crossZoneEnabled: true,
  });
  const listener = loadBalancer.addListener('Clients', props.certificate
    ? { port, protocol: elb.Protocol.TLS, certificates: [props.certificate], sslPolicy: elb.SslPolicy.RECOMMENDED_TLS }
    : { port, protocol: elb.Protocol.TCP });
  const targets = listener.addTargets('Envoy', {
    port: frontPort, protocol: elb.Protocol.TCP, targets: [target], preserveClientIp: true, deregistrationDelay: leave[props.layout ?? Layout.SMALL],
    healthCheck: { ...check, protocol: elb.Protocol.HTTP },
  });
  return {
    loadBalancer, healthy: targets.metrics.healthyHostCount({ statistic: 'min', period: Duration.minutes(1) }),
    connections: new ec2.Connections({ securityGroups: [group], defaultPort: ec2.Port.tcp(port) }),
  };
}
