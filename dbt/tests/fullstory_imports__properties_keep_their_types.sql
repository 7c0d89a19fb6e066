{#- Warns of each property by name, because dbt itself counts the rows only. -#}
{{ config(severity='warn', enabled=dbt_fullstory_imports.is_loaded('imported_events')) }}
-- depends_on: {{ source('fullstory_imports', 'imported_events') }}

{%- set misfits = dbt_fullstory_imports.misfits() if execute and flags.WHICH in ('build', 'test') else [] %}
{%- for sentence in misfits %}
{%- do exceptions.warn(sentence) %}
{%- endfor %}

{% for sentence in misfits %}
select {{ dbt_fullstory_imports.text_literal(sentence) }} as misfit
union all
{% endfor %}
select 'none' as misfit from (select 1 as one) as nothing where one = 0
