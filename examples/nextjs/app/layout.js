export const metadata = { title: 'Next.js behind Lambda Dispatch' };

export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
