package price

// Names of prices. Those that depend on the architecture end in x86 or arm: see For.
const (
	LambdaRequests  = "lambda_million_requests"
	LambdaSeconds   = "lambda_gb_second"
	LambdaStreamed  = "lambda_streamed_gb"
	ManagedFee      = "managed_fee"
	ManagedRequests = "managed_million_requests"
	FargateVCPU     = "fargate_vcpu_hour"
	FargateGB       = "fargate_gb_hour"
	ALBHour         = "alb_hour"
	ALBUnit         = "alb_lcu_hour"
	NLBHour         = "nlb_hour"
	NLBUnit         = "nlb_lcu_hour"
	HTTPAPI         = "http_api_million"
	NATHour         = "nat_hour"
	NATGB           = "nat_gb"
	IPv4Hour        = "ipv4_hour"
	BetweenZones    = "between_zones_gb"
	Internet        = "internet_gb"
	Logs            = "logs_gb"
	DynamoWrites    = "dynamodb_million_writes"
	DynamoReads     = "dynamodb_million_reads"
	EC2Compute      = "ec2_hour_c"
	EC2General      = "ec2_hour_m"
	EC2Memory       = "ec2_hour_r"
)

// Architectures, as they end a price's name.
const (
	X86 = "_x86"
	ARM = "_arm"
)

// Names are all prices that a list must have.
func Names() []string {
	names := []string{
		LambdaRequests, LambdaStreamed, ManagedFee, ManagedRequests, ALBHour, ALBUnit, NLBHour, NLBUnit, HTTPAPI, NATHour, NATGB,
		IPv4Hour, BetweenZones, Internet, Logs, DynamoWrites, DynamoReads,
	}
	for _, name := range []string{LambdaSeconds, FargateVCPU, FargateGB, EC2Compute, EC2General, EC2Memory} {
		names = append(names, name+X86, name+ARM)
	}
	return names
}
