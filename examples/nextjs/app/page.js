import { headers } from 'next/headers';
import { after } from 'next/server';

export const dynamic = 'force-dynamic'; // rendered for each request

export default async function Page() {
  const scheme = (await headers()).get('x-forwarded-proto') ?? 'http';
  after(() => console.log('page sent')); // work after the answer: scaling.linger, or it stands still in a freeze
  return <h1>Hello from Next.js over {scheme}</h1>;
}
