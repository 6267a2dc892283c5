export const dynamic = 'force-dynamic'; // rendered for each request

// /sleep?ms=N asks somebody else for N milliseconds, and renders a table of 200 rows.
export default async function Page({ searchParams }) {
  const ms = Number((await searchParams).ms);
  await new Promise((resolve) => setTimeout(resolve, ms));
  return (
    <table>
      <tbody>
        {Array.from({ length: 200 }, (_, n) => (
          <tr key={n}>
            <td>{n}</td>
            <td>{n * ms}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
