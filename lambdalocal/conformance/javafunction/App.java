import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/** A function for tests, on AWS's own runtime client for Java. */
public class App implements RequestHandler<Map<String, Object>, Object> {
    private static final AtomicInteger inFlight = new AtomicInteger();

    @Override
    public Object handleRequest(Map<String, Object> event, Context context) {
        int busy = inFlight.incrementAndGet();
        try {
            return obey(event, context, busy);
        } finally {
            inFlight.decrementAndGet();
        }
    }

    private Object obey(Map<String, Object> event, Context context, int busy) {
        switch ((String) event.getOrDefault("do", "")) {
            case "fail":
                throw new IllegalStateException((String) event.get("text"));
            case "panic":
                throw new StackOverflowError((String) event.get("text"));
            case "exit":
                Runtime.getRuntime().halt(7);
            case "hang":
                sleep(1_000_000);
                return null;
            case "large":
                return "x".repeat(size(event));
            case "length":
                return ((String) event.get("text")).length();
            case "context":
                return describe(context);
            case "busy":
                sleep(size(event));
                return Map.of("busy", busy);
            default:
                return event;
        }
    }

    private static int size(Map<String, Object> event) {
        return ((Number) event.get("size")).intValue();
    }

    private static void sleep(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** What the client made of the invocation's headers. */
    private static Map<String, Object> describe(Context context) {
        ClientContext client = context.getClientContext();
        Map<String, Object> all = new HashMap<>();
        all.put("request_id", context.getAwsRequestId());
        all.put("arn", context.getInvokedFunctionArn());
        all.put("deadline_ms", System.currentTimeMillis() + context.getRemainingTimeInMillis());
        all.put("custom", client == null ? null : client.getCustom());
        all.put("trace_id", System.getProperty("com.amazonaws.xray.traceHeader", ""));
        all.put("name", context.getFunctionName());
        all.put("memory", context.getMemoryLimitInMB());
        return all;
    }
}
