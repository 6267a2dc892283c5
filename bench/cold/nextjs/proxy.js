import { NextResponse } from 'next/server';

// Each answer says which environment it comes from.
export function proxy() {
  const response = NextResponse.next();
  response.headers.set('X-Served-By', process.env.AWS_LAMBDA_LOG_STREAM_NAME ?? '');
  return response;
}
