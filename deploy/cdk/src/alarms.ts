import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { Entry } from './front';

/**
 * The alarms, and who hears of them.
 * @internal
 */
export class Alarms {
  constructor(private readonly scope: Construct, private readonly topic?: sns.ITopic) {}

  addEntry(entry: Entry) {
    this.add('NoTask', {
      metric: entry.healthy, threshold: 1, comparisonOperator: cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD, evaluationPeriods: 2,
      treatMissingData: cloudwatch.TreatMissingData.BREACHING, alarmDescription: 'No task answers the balancer: clients get errors.',
    });
    if (entry.errors) {
      this.add('BalancerErrors', {
        metric: entry.errors, threshold: 10, evaluationPeriods: 5, datapointsToAlarm: 3,
        alarmDescription: 'The balancer answers 5xx by itself: tasks are gone, or close connections.',
      });
    }
  }

  addService(id: string, service: ecs.FargateService) {
    this.add(`${id}Cpu`, {
      metric: service.metricCpuUtilization({ period: Duration.minutes(1) }), threshold: 85, evaluationPeriods: 5,
      alarmDescription: 'The tasks are busy: requests wait for processors. Give them more cpu.',
    });
    this.add(`${id}Memory`, {
      metric: service.metricMemoryUtilization({ period: Duration.minutes(1) }), threshold: 85, evaluationPeriods: 5,
      alarmDescription: 'The tasks are about to run out of memory. Give them more.',
    });
  }

  addFunction(name: string, alias: lambda.Alias) {
    this.add(`${name}Throttles`, {
      metric: alias.metricThrottles({ period: Duration.minutes(1) }), threshold: 1, evaluationPeriods: 5, datapointsToAlarm: 3,
      alarmDescription: 'Lambda refuses starts: the concurrency of the account or of the function is used up.',
    });
    this.add(`${name}Errors`, {
      metric: alias.metricErrors({ period: Duration.minutes(1) }), threshold: 3, evaluationPeriods: 5, datapointsToAlarm: 3,
      alarmDescription: 'Instances fail to start, crash or are cut: the control plane logs the cause.',
    });
  }

  private add(id: string, props: cloudwatch.AlarmProps) {
    const alarm = new cloudwatch.Alarm(this.scope, id, { treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING, ...props });
    if (this.topic) alarm.addAlarmAction(new SnsAction(this.topic));
  }
}
