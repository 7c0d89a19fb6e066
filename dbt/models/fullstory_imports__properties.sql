{#- Reads only the events that have been built since this table was built, and all users. -#}
{#- PostgreSQL would store the CTEs, and sort all values, because it cannot know that they have few types. -#}
{%- set is_postgres = target.type == 'postgres' -%}
{%- set inline = 'not materialized' if is_postgres else '' -%}
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['kind', 'name', 'property', 'type'],
    pre_hook='set local enable_sort = off' if is_postgres else [],
) }}

with imported as {{ inline }} (

    select 'events' as kind, name, job_id, properties, {{ quoted('schema') }} as given, built_at
    from {{ ref('fullstory_imports__events') }}
    where name is not null
    {%- if is_incremental() %}
        and built_at > (select coalesce(max(built_at), '1970-01-01') from {{ this }} where kind = 'events')
    {%- endif %}
    union all
    select
        'users' as kind, '' as name, job_id, properties, {{ quoted('schema') }} as given,
        cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as {{ sql_type('date') }}) as built_at
    from {{ ref('fullstory_imports__users') }}

),

fields as {{ inline }} (

    select kind, name, job_id, built_at, field.key as property, field.value, {{ json_kind('field.value') }} as json_kind
    from imported
    {{ json_fields('properties') }}

),

elements as (

    select fields.kind, fields.name, fields.job_id, fields.built_at, fields.property, {{ type_of('element.value') }} as type
    from fields
    {{ ', lateral flatten(input => fields.value) as element' if target.type == 'snowflake'
        else "cross join lateral jsonb_array_elements(case when json_kind = 'array' then fields.value end) as element (value)" }}
    where json_kind = 'array'

),

given as (

    select kind, name, job_id, built_at, field.key as property, {{ json_text('field.value') }} as type
    from imported
    {{ json_fields(json_get('given', ['properties'])) }}

),

types as (

    -- `none` stands for the event itself, which may have no properties.
    select kind, name, job_id, built_at, '' as property, 'none' as type from imported

    union all

    -- `nulls` stands for a list, which may have no elements.
    select kind, name, job_id, built_at, property, case when json_kind = 'array' then 'nulls' else {{ type_of('value') }} end as type
    from fields

    union all

    select kind, name, job_id, built_at, property, case when type = 'json' then 'json' else type || 's' end as type
    from elements

    union all

    select kind, name, job_id, built_at, property, type
    from given
    where type in ('str', 'int', 'real', 'bool', 'date', 'strs', 'ints', 'reals', 'bools', 'dates')

)

select kind, name, property, type, max(job_id) as example_job_id, max(built_at) as built_at
from types
group by kind, name, property, type
