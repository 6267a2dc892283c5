// A function for tests, on AWS's own runtime client for Node.

let inFlight = 0;

export async function handle(event, context) {
  inFlight++;
  try {
    return await obey(event, context);
  } finally {
    inFlight--;
  }
}

async function obey(event, context) {
  switch (event.do) {
    case 'fail':
    case 'panic':
      throw new RangeError(event.text);
    case 'exit':
      process.exit(7);
    case 'hang':
      return new Promise(() => setInterval(() => {}, 1000));
    case 'large':
      return 'x'.repeat(event.size);
    case 'length':
      return event.text.length;
    case 'context':
      return describe(context);
    case 'busy': {
      const busy = inFlight;
      await new Promise((done) => setTimeout(done, event.size));
      return { busy, environment: process.env.AWS_LAMBDA_LOG_STREAM_NAME };
    }
    default:
      return event;
  }
}

// describe is what the client made of the invocation's headers.
function describe(context) {
  return {
    request_id: context.awsRequestId,
    arn: context.invokedFunctionArn,
    deadline_ms: Date.now() + context.getRemainingTimeInMillis(),
    custom: context.clientContext?.custom,
    trace_id: process.env._X_AMZN_TRACE_ID ?? '',
    name: context.functionName,
    memory: Number(context.memoryLimitInMB),
  };
}
