/** @type {import('next').NextConfig} */
export default {
  output: 'standalone', // .next/standalone/server.js with the few modules that it needs
};
